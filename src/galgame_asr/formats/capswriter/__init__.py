"""Fun-ASR-Nano for CapsWriter-Offline."""
