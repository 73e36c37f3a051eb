"""Any offline recogniser of sherpa-onnx."""
