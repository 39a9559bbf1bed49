"""Discord: a thin connector between its gateway and REST calls and the conversation. Here `discord` is the library."""
