"""The Textual app: shows a run and sends requests."""

import os

# Textual reads it when it is loaded. A page takes three layouts to open, each in a frame of its own: at its 60 frames a
# second they wait for each other longer than they take. How often to draw is decided by `PacedApp`.
os.environ.setdefault("TEXTUAL_FPS", "250")
