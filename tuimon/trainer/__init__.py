"""The training side: watches and steers a `fit` inside the training process."""
