"""The training stage: the built-in loop and what it is made of, and how Ray Train runs it on the workers."""
