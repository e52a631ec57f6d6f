"""Forward passes that measure the gap between training mode and inference mode."""
