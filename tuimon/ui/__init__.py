"""The Textual app. Must not import Keras or TensorFlow; knows the trainer only by its facts."""
