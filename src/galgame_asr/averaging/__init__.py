"""Models whose tensors are the mean of several checkpoints."""
