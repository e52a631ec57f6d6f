"""Reads the load of this machine, for the trainer and for the screen."""
