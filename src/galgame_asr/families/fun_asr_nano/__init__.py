"""Fun-ASR-Nano, on the funasr package's own model class."""
