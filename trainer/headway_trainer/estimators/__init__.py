"""What fits models: the training loop, and scikit-learn beside it; which one a job takes follows from `model.name`."""
