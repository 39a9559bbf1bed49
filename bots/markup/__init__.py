"""Markdown as assistants write it, split into messages and rendered for each platform. Knows no connector."""
