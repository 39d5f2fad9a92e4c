"""Tuning: which trials are run, with which parameters, and when each ends. Pure but for the log of events."""
