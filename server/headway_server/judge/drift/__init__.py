"""Whether what a version is asked is like the rows that its model was trained on: counts, windows, and their tests."""
