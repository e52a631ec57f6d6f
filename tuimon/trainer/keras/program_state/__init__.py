"""What a checkpoint holds of the program beside the model: the state of callbacks and random numbers."""
