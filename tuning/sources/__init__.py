"""Readers of what people export, one module a format."""
