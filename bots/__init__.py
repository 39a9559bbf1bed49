"""What people talk with: the conversation and its commands, the same on every platform; the web connector."""
