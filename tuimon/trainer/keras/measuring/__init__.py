"""Reads and sets moving statistics, reads the inputs of layers, and validates."""
