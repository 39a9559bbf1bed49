"""What answers: prompts, the engine process and its adapters, the client, the router. Knows config and store."""
