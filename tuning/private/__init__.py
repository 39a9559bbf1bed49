"""What finds private details, each kind of finder in its own file; tuning/redaction.py puts them together."""
