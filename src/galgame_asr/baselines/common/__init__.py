"""What the kinds of baselines share."""
