"""The LoRA trainer: a process of its own, `python -m tuning.training FOLDER`, watched through its files."""
