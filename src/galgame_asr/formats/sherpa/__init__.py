"""Fun-ASR-Nano for sherpa-onnx."""
