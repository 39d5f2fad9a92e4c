"""A real Kubernetes on one Linux machine, for Headway's tests and for people.

Only the standard library is used, so that it runs before any virtual environment exists.
"""
