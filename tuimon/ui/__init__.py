"""The Textual app: shows a run and sends requests."""
