"""Starts a run: reads its config, finds the user's functions that it names, starts the training process."""
