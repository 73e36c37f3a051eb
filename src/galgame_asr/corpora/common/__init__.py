"""What the kinds of corpora share."""
