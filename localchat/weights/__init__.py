"""Lazy readers of GGUF and safetensors, and the folder in which our own quantized models are kept."""
