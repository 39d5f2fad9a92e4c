"""From a trained model to a folder that anything can serve."""
