"""The gap between training mode and inference mode: its shares, how it is written, which probe tells most of it."""
