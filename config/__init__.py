"""What is chosen: settings, secrets, paths, names, the model catalogue, the hardware plan. Knows no other room."""
