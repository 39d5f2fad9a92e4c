"""What fits models: the training loop, and other libraries beside it; `model.name` decides."""
