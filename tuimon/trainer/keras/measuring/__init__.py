"""Reads and estimates the model's statistics."""
