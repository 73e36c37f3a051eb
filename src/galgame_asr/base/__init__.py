"""The model that a curriculum starts from."""
