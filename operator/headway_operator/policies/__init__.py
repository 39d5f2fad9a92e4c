"""Policies that kinds share, pure: what is tried again, and when."""
