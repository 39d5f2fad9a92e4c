"""Trackers, each behind the same interface."""
