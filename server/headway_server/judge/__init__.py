"""Whether a candidate version is worse than the one it is to replace: tests whose answer may be read at any time."""
