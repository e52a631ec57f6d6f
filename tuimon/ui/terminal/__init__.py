"""The way to the terminal: what was sent, what is to be sent, and how fast."""
