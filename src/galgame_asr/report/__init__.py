"""What a run amounts to, for people and for DVC."""
