"""What the families share, and what the rest of the project knows of them."""
