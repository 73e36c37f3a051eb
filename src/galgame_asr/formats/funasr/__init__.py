"""Fun-ASR-Nano for `funasr.AutoModel`."""
