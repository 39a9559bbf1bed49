"""The demo: two chat exports become two assistants that answer, proven step by step."""
