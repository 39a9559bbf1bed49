"""What the demo ships: a small base model, two sample exports, and the scripts that made them."""
