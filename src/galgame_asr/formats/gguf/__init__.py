"""Fun-ASR-Nano for FunASR's llama.cpp runtime."""
