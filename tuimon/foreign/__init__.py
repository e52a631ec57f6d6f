"""Reads logs that other programs wrote, and translates them into facts."""
