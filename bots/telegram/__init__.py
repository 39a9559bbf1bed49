"""Telegram: updates become messages of the conversation, and what it says becomes calls of the Bot API."""
