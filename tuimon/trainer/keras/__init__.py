"""The Keras engine: everything that imports Keras or TensorFlow."""
