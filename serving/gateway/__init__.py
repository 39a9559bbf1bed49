"""The OpenAI-compatible door: other programs talk to assistants as they talk to OpenAI."""
