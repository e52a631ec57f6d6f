"""A run as a page to send, and as a picture: what the doctor says, charts, changes, layers, settings."""
