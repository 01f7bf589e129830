"""What goes on around training steps: callbacks, and Weights & Biases."""
