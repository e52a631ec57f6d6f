"""What is wrong with a run, why, and what to do: from what its facts add up to.

Pure: no clock, no files. Must not import Keras, TensorFlow or Textual.
"""
