"""What runs beside Keras, in the training process. Must not import Textual, plotext or Rich."""
