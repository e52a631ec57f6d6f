"""Runs on other machines, reached through the user's own ``ssh``."""
