"""Rows of a sample of requests, counted into the bins of the training rows: no value of them leaves the server."""
