"""Specs whose sections contradict each other, one contradiction each: what can be told from the file alone."""
