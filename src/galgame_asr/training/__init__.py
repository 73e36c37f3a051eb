"""Training: freezing, batching, the loop around transformers.Trainer, and exact resume."""
