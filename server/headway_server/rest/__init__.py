"""The Open Inference Protocol v2 over HTTP: requests to tensors, tensors to answers. Knows no sockets."""
