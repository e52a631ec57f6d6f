"""Looks at the weights that training makes: how far a step moves them, and whether others take their place."""
