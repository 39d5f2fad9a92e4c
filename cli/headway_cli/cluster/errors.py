"""What goes wrong between this machine and a cluster, as exit codes and sentences that end with what to do."""

from __future__ import annotations

import re

EXIT_DONE = 0
EXIT_PROBLEM = 1
"""A job has failed, a problem was found, or the API server has refused."""
EXIT_USAGE = 2
EXIT_UNREACHED = 3
"""The cluster was not reached, or nobody was logged in there."""
EXIT_TIMED_OUT = 4
EXIT_USER_CODE = 64
"""A job has failed by its own code or data, as `headway run` says it."""
EXIT_INTERRUPTED = 130
"""Ctrl-C."""

MOST_WORDS = 2000
"""Characters of what kubectl says that a message has."""


class HeadwayError(Exception):
    """Something that cannot be done; its text says what to do about it."""

    exit_code = EXIT_PROBLEM


class InputError(HeadwayError):
    """What was given is not what is taken, or cannot be read."""


class InvalidJobError(InputError):
    """A job with mistakes, each in a line of the text, as `headway validate` tells them."""


class UsageError(InputError):
    """Words or values that cannot be meant, or contradict each other."""

    exit_code = EXIT_USAGE


class ClusterError(HeadwayError):
    """Something that a cluster, or what a job has left, does not allow."""


class UnreachedError(ClusterError):
    """There is no kubectl, no kubeconfig, no API server that answers, or no login that it takes."""

    exit_code = EXIT_UNREACHED


class TimedOutError(ClusterError):
    """What was waited for did not come in time."""

    exit_code = EXIT_TIMED_OUT


class NotFoundError(ClusterError):
    """There is no such object."""


class RefusedError(ClusterError):
    """The API server does not allow it, or does not take it."""


class ForbiddenError(RefusedError):
    """The user has no right to it."""


class ExistsError(RefusedError):
    """There is an object of that name already."""


class NodeAwayError(ClusterError):
    """The API server does not reach the node that a pod is on."""


class NotInstalledError(ClusterError):
    """The cluster does not know Headway's kinds."""


_KLOG = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ ")
"""How lines of kubectl's own log begin: each attempt is told there, and the last line says it again."""
_PREFIX = re.compile(
    r"^(error: )*(error from server( \(\w+\))?: )?(error (validating|when creating) \"STDIN\": )?",
    re.IGNORECASE | re.MULTILINE,
)
"""Whoever shows an error says that it is one, and nobody has written a file STDIN."""
_UNREACHED = re.compile(
    r"Unable to connect to the server|The connection to the server|couldn't get current server API group list"
    r"|i/o timeout|TLS handshake timeout|no such host|connection refused|x509:|net/http:|Client\.Timeout exceeded"
    r"|getting credentials|exec plugin|\(ServiceUnavailable\)|\(TooManyRequests\)|etcdserver:"
    r"|connection lost|unexpected EOF"
)
_LOGIN = re.compile(r"must be logged in|\(Unauthorized\)|provide credentials")
_CONFIG = re.compile(
    r"context was not found|cannot locate context|current-context must exist|no context exists"
    r"|error loading config file|invalid configuration|error: stat .*: no such file"
)


def own_words(stderr: str) -> str:
    """What kubectl has said, without its log and bounded."""
    lines = [line for line in stderr.splitlines() if line.strip() and not _KLOG.match(line)]
    text = "\n".join(lines) or stderr.strip()
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]} ..."


def explained(stderr: str) -> ClusterError:
    """The error that kubectl's words tell of."""
    said = own_words(stderr)
    shown = _PREFIX.sub("", said)
    for pattern, kind, advice in _KNOWN:
        if pattern.search(said):
            return kind(f"{shown}\n{advice}" if advice else shown)
    return RefusedError(shown or "kubectl has failed and says nothing: see `kubectl version`")


_KNOWN: tuple[tuple[re.Pattern[str], type[ClusterError], str], ...] = (
    (re.compile(r"\(NotFound\)"), NotFoundError, ""),
    (re.compile(r"\(AlreadyExists\)"), ExistsError, ""),
    (
        re.compile(r"\(Forbidden\)"),
        ForbiddenError,
        "Ask who runs the cluster for that right, or name another --context or --namespace.",
    ),
    (
        re.compile("doesn't have a resource type|no matches for kind"),
        NotInstalledError,
        "Headway is not installed in this cluster: see docs/how-to/install.md, or name another --context.",
    ),
    (
        re.compile("is waiting to start"),
        RefusedError,
        "It has printed nothing yet: --follow waits for it, and `headway status` tells what the job waits for.",
    ),
    (
        re.compile(r"error dialing backend|Error from server: Get \S*(containerLogs|/exec/)"),
        NodeAwayError,
        "The pod's node does not answer the API server: see `kubectl get nodes`.",
    ),
    (
        _CONFIG,
        UnreachedError,
        "See `kubectl config get-contexts`; --context, --kubeconfig and the variable KUBECONFIG name others.",
    ),
    (_LOGIN, UnreachedError, "Log in again as your cluster wants it, and see `kubectl auth whoami`."),
    (
        _UNREACHED,
        UnreachedError,
        "The cluster was not reached: is it up, and is this the right one? See `kubectl cluster-info`; --context names "
        "another.",
    ),
)
"""What kubectl says, and what to do about it; the first that fits."""
