"""Private names of Keras and TensorFlow, by subject."""
