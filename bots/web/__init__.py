"""The web connector: a chat page and its stream. Knows the conversation, not how it is put together."""
