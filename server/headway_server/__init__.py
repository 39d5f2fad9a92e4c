"""Serves one finished model over the Open Inference Protocol v2: onnxruntime, no torch, no ray."""
