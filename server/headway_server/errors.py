"""What can be wrong with a request: one exception a kind, with its HTTP status and its gRPC code."""

from __future__ import annotations

from typing import ClassVar


class RequestError(Exception):
    """A request that gets no answer. The message is a sentence for whoever sent it."""

    kind: ClassVar[str] = "internal"
    """The kind's name in metrics."""
    status: ClassVar[int] = 500
    """The HTTP status."""
    grpc_code: ClassVar[str] = "INTERNAL"
    """The name of the grpc.StatusCode."""


class InvalidRequest(RequestError):  # noqa: N818 - what the request is
    """The request is not what the protocol, or the model's signature, asks for."""

    kind, status, grpc_code = "invalid", 400, "INVALID_ARGUMENT"


class NotFound(RequestError):  # noqa: N818 - what happened
    """No such path, model or version here."""

    kind, status, grpc_code = "not_found", 404, "NOT_FOUND"


class MethodNotAllowed(RequestError):  # noqa: N818 - what happened
    """The path is there for another HTTP method."""

    kind, status, grpc_code = "method", 405, "UNIMPLEMENTED"

    def __init__(self, message: str, allowed: str) -> None:
        """allowed: the methods, as the header Allow has them."""
        super().__init__(message)
        self.allowed = allowed


class TooLarge(RequestError):  # noqa: N818 - what the request is
    """The request is beyond a bound on its size."""

    kind, status, grpc_code = "too_large", 413, "RESOURCE_EXHAUSTED"


class TooSlow(RequestError):  # noqa: N818 - what the client is
    """The request did not arrive within the time that it has for that."""

    kind, status, grpc_code = "too_slow", 408, "DEADLINE_EXCEEDED"


class UnsupportedEncoding(RequestError):  # noqa: N818 - what the request is
    """The body is compressed in a way that is not known here."""

    kind, status, grpc_code = "encoding", 415, "UNIMPLEMENTED"


class NotFinite(RequestError):  # noqa: N818 - what the answer is
    """The answer has numbers that JSON has not, and was asked for as JSON."""

    kind, status, grpc_code = "not_finite", 400, "INVALID_ARGUMENT"


class NotReady(RequestError):  # noqa: N818 - what the server is
    """The model is not loaded yet, or the server is about to end."""

    kind, status, grpc_code = "not_ready", 503, "UNAVAILABLE"


class Overloaded(RequestError):  # noqa: N818 - what the server is
    """More is asked for than can be answered in time: nothing was run, and the request may be sent again."""

    kind, status, grpc_code = "overloaded", 503, "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        """retry_after: seconds after which it may be sent again."""
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(RequestError):  # noqa: N818 - what happened
    """The answer would have come too late: the model was not run for it."""

    kind, status, grpc_code = "deadline", 504, "DEADLINE_EXCEEDED"


class ModelFailed(RequestError):  # noqa: N818 - what happened
    """The model, loaded and checked, failed on these rows."""

    kind, status, grpc_code = "model", 500, "INTERNAL"


class BadModel(Exception):  # noqa: N818 - what the folder holds
    """The folder holds no model that can be served. The message says why and what to do: such a server never starts."""
