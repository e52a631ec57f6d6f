"""A run in the formats of other programs. Must not import Keras, TensorFlow or Textual."""
