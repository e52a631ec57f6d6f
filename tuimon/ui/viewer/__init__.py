"""What the viewer knows and does, without Textual and Rich."""
