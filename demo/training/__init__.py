"""How the demo's base model was made: corpus, tokenizer, training. Run `python -m demo.training --help`."""
