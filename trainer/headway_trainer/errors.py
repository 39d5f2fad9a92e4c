"""The trainer's own errors: each message is a sentence for people, and each kind has its own cause and exit code."""

from __future__ import annotations


class UserError(Exception):
    """The user's data, code or spec is at fault, and trying again changes nothing. The message says how to mend it."""


class OutOfMemory(Exception):  # noqa: N818 - what happened, not what went wrong in the code
    """A training process did not get the memory that it asked for. The message says where."""


class StorageError(Exception):
    """A storage could not be read or written. The message names its URI."""


class NotFound(StorageError):  # noqa: N818 - what is not found need not be an error
    """The storage answered, but nothing is there."""


class GateFailed(Exception):  # noqa: N818 - what happened, not what went wrong in the code
    """The model is finished and published, and did not reach a gate of `spec.evaluation`. The message says which."""
