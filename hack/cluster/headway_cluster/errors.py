"""The one error that is meant for people: printed as it is, without a traceback."""

from __future__ import annotations


class ClusterError(Exception):
    """Something a person has to know about, in words that say what to do."""
