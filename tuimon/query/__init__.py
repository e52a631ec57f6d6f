"""Answers about runs for people's own programs: notebooks, scripts, the shell."""
