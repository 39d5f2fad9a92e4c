"""Training in torch alone: the built-in loop and what it is made of. It knows nothing of Ray."""
