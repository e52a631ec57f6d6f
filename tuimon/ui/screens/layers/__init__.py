"""Screen 3: the BatchNormalization layers."""
