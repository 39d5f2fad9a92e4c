"""Calls of `kubectl`: bounded in what they say and how long they take, never through a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from headway_cli.cluster.errors import ClusterError, NotFoundError, UnreachedError, explained
from headway_cli.cluster.fields import entries, text
from headway_cli.cluster.names import MODEL_DEPLOYMENTS, TRAINING_JOBS

MOST_BYTES = 128 << 20
"""Of an answer: some 10,000 jobs."""
MOST_ERROR_BYTES = 64 << 10
MOST_LINE_BYTES = 1 << 20
"""Of a log: what is longer comes in pieces."""
SECONDS = 60.0
"""How long a call may take."""
REQUEST_SECONDS = 20
"""How long the API server may take to answer a request."""
MOST_DEPTH = 200
"""Of an object's parts in one another: the API server takes 10,000, Python's reader a thousand."""
TOO_DEEP = "too many levels down"
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
"""Of JSON: brackets, and texts, so that those in them do not count."""
_GROUPS = hasattr(os, "killpg")
"""Whether this system has groups of processes: Windows does not."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """The cluster and namespace that are meant; what is not said is the kubeconfig's."""

    namespace: str | None = None
    all_namespaces: bool = False
    context: str | None = None
    kubeconfig: str | None = None

    def flags(self) -> list[str]:
        """The same for kubectl."""
        return [*self.cluster_flags(), *self.namespace_flags()]

    def cluster_flags(self) -> list[str]:
        """Which cluster."""
        told = (("--kubeconfig", self.kubeconfig), ("--context", self.context))
        return [f"{flag}={value}" for flag, value in told if value is not None]

    def namespace_flags(self) -> list[str]:
        """Which namespace."""
        if self.all_namespaces:
            return ["--all-namespaces"]
        return [f"--namespace={self.namespace}"] if self.namespace is not None else []

    def options(self) -> str:
        """What to add to a command that we propose to the user, so that it means the same cluster and namespace."""
        told = (("--kubeconfig", self.kubeconfig), ("--context", self.context), ("-n", self.namespace))
        return "".join(f" {flag} {shlex.quote(value)}" for flag, value in told if value is not None)


@dataclass(frozen=True)
class Where:
    """Context and namespace in use."""

    context: str | None
    """None within a cluster, where there is no kubeconfig."""
    namespace: str
    """The one that calls without -n mean."""


class Call:
    """A kubectl that runs; several can run at the same time."""

    def __init__(self, words: Sequence[str], stdin: bytes | None, seconds: float, *, apart: bool = False) -> None:
        """apart: see Kubectl. Raises UnreachedError where there is no kubectl."""
        self._seconds, self._apart = seconds, apart
        self._timed_out = False
        self._errors = bytearray()
        try:
            self._process = subprocess.Popen(
                ["kubectl", *words],
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL if apart else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0 if apart and _GROUPS else None,
            )
        except FileNotFoundError as error:
            raise UnreachedError(
                "there is no kubectl on PATH, by which headway reaches a cluster: install it, see "
                "https://kubernetes.io/docs/tasks/tools/"
            ) from error
        except OSError as error:
            raise UnreachedError(f"kubectl cannot be started: {error.strerror}") from error
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        self._listener = threading.Thread(target=_kept, args=(self._process.stderr, self._errors), daemon=True)
        self._listener.start()
        if stdin is not None:
            threading.Thread(target=self._tell, args=(stdin,), daemon=True).start()

    def answer(self) -> tuple[int, bytes, str]:
        """Exit code, standard output, standard error. Raises ClusterError where it takes too long or says too much."""
        try:
            said = _pipe(self._process.stdout).read(MOST_BYTES + 1)
            if len(said) > MOST_BYTES:
                raise ClusterError(
                    f"the answer has more than {MOST_BYTES >> 20} MiB: ask for less, by --namespace or --selector"
                )
            code = self._process.wait()
        finally:
            self.close()
        if self._timed_out:
            raise UnreachedError(
                f"kubectl has not answered within {self._seconds:g} s: see `kubectl cluster-info`; --context names "
                "another cluster"
            )
        return code, said, self._errors.decode(errors="replace")

    def close(self) -> None:
        """No process is left."""
        self._timer.cancel()
        if self._process.poll() is None:
            _kill(self._process, apart=self._apart)
        self._process.wait()
        self._listener.join(timeout=1)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def end(self) -> None:
        """End it; who waits for its answer gets an error. Any thread may."""
        _kill(self._process, apart=self._apart)

    def _end(self) -> None:
        self._timed_out = True
        self.end()

    def _tell(self, text: bytes) -> None:
        try:
            with _pipe(self._process.stdin) as stream:
                stream.write(text)
        except OSError:
            return  # it has ended, and says why


class Stream:
    """A kubectl that goes on: its output as it comes, and what it is told. Only one thread may use it."""

    def __init__(self, words: Sequence[str], *, writes: bool, apart: bool = False) -> None:
        """writes: whether it is told something. apart: see Kubectl. Raises UnreachedError where there is no kubectl."""
        self._apart = apart
        try:
            self._process = subprocess.Popen(
                ["kubectl", *words],
                stdin=subprocess.PIPE if writes else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0 if apart and _GROUPS else None,
            )
        except OSError as error:
            raise UnreachedError(f"kubectl cannot be started: {error.strerror}: is it on PATH?") from error
        self._errors = bytearray()
        self._listener = threading.Thread(target=_kept, args=(self._process.stderr, self._errors), daemon=True)
        self._listener.start()

    def line(self) -> bytes:
        """The next line, or as much of it as MOST_LINE_BYTES; b"" at the end."""
        return _pipe(self._process.stdout).readline(MOST_LINE_BYTES)

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end."""
        return _pipe(self._process.stdout).read(size)

    def write(self, data: bytes) -> None:
        """Tell it something. Raises OSError where it has ended."""
        stream = _pipe(self._process.stdin)
        stream.write(data)
        stream.flush()

    def end(self) -> tuple[int, str]:
        """Exit code, and what it has said to standard error; it is ended where it goes on."""
        if self._process.stdin is not None:
            with suppress(OSError):  # it has ended: nobody reads what was left
                self._process.stdin.close()
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            _kill(self._process, apart=self._apart)
            self._process.wait()
        self._listener.join(timeout=1)
        return self._process.returncode, self._errors.decode(errors="replace")

    def close(self) -> None:
        """No process is left."""
        self.end()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _kept(stream: IO[bytes] | None, kept: bytearray) -> None:
    """Keep the end of what a stream says."""
    source = _pipe(stream)
    try:
        while part := os.read(source.fileno(), 1 << 16):
            kept += part
            del kept[:-MOST_ERROR_BYTES]
    except (OSError, ValueError):
        return  # closed while it waited, as a child of kubectl's holds the stream


def _kill(process: subprocess.Popen[bytes], *, apart: bool) -> None:
    """End a kubectl; one that runs apart with all that it has started, as what is called kubectl may be a script."""
    if not (apart and _GROUPS):
        process.kill()
    elif process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was asked for as a pipe."""
    return cast("IO[bytes]", stream)


class Kubectl:
    """kubectl for a target."""

    def __init__(self, target: Target, *, apart: bool = False) -> None:
        """apart: whether its calls are for somebody who is not at the terminal: they ask nothing there, and end with
        all that they have started."""
        self.target, self._apart = target, apart

    def start(self, *words: str, stdin: str | None = None, seconds: float = SECONDS) -> Call:
        """Begin a call. Flags of the target are added before a `--`, or at the end."""
        return Call(self._given(words), None if stdin is None else stdin.encode(), seconds, apart=self._apart)

    def stream(self, *words: str, writes: bool = False) -> AbstractContextManager[Stream]:
        """A call that goes on. Flags of the target are added as by `start`. Raises UnreachedError."""
        return closing(Stream(self._given(words), writes=writes, apart=self._apart))

    def run(self, *words: str, stdin: str | None = None, seconds: float = SECONDS) -> str:
        """What a call says. Raises ClusterError where it fails."""
        return read(self.start(*words, stdin=stdin, seconds=seconds))

    def _given(self, words: Sequence[str]) -> list[str]:
        stop = words.index("--") if "--" in words else len(words)
        return [*words[:stop], *self.target.flags(), *words[stop:]]

    def get(self, *words: str) -> Call:
        """Begin to get objects as JSON; for `objects` or `one`."""
        return self.start("get", *words, "--output=json", f"--request-timeout={REQUEST_SECONDS}s")

    def where(self) -> Call:
        """Begin to ask which context and namespace are in use; for `where`."""
        return Call(["config", "view", "--minify", "--output=json", *self.target.cluster_flags()], None, SECONDS)

    def patch(self, what: str, change: dict[str, Any], *words: str) -> dict[str, Any]:
        """Change an object by a merge patch; the object after it. Raises ClusterError."""
        patch = f"--patch={json.dumps(change)}"
        return parsed(self.run("patch", what, "--type=merge", patch, "--output=json", *words))

    def create(self, document: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Make an object; as the API server has it then. Raises ClusterError, ExistsError where it is there already.

        dry_run: the API server judges it, and makes nothing.
        """
        words = ["--dry-run=server"] if dry_run else []
        return parsed(self.run("create", "--filename=-", "--output=json", *words, stdin=json.dumps(document)))


def read(call: Call) -> str:
    """What a call says. Raises ClusterError where it fails."""
    code, said, errors = call.answer()
    if code != 0:
        raise explained(errors)
    return said.decode(errors="replace")


def objects(call: Call) -> list[dict[str, Any]]:
    """The objects that a call of `get` has found, in its order. Raises ClusterError."""
    said = read(call)
    if not said.strip():
        return []
    found = parsed(said)
    return entries(found, "items") if text(found, "kind").endswith("List") else [found]


def parsed(text: str) -> dict[str, Any]:
    """An object of JSON. Raises ClusterError where it is none."""
    try:
        found = _loaded(text)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"kubectl's answer is no JSON ({error}): see `kubectl version`") from error
    if not isinstance(found, dict):
        raise ClusterError("kubectl's answer is no object of JSON: see `kubectl version`")
    return found


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        # One object that nobody can read, among all of a list, is not to keep the others from being seen.
        return json.loads(_shallow(text))


def _shallow(text: str) -> str:
    """JSON in which a text stands for what is more than MOST_DEPTH levels down."""
    kept, depth, begin = [], 0, 0
    for match in _BRACKETS.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            if depth == MOST_DEPTH + 1:
                kept += [text[begin : match.start()], f'"({TOO_DEEP})"']
        elif bracket in "]}":
            if depth == MOST_DEPTH + 1:
                begin = match.end()
            depth -= 1
    return "".join([*kept, text[begin:]] if depth <= MOST_DEPTH else kept)


def where(call: Call, target: Target) -> Where:
    """Context and namespace in use; a kubeconfig without a context is no error, as there is none within a pod."""
    code, said, _ = call.answer()
    config = parsed(said.decode(errors="replace")) if code == 0 else {}
    first = next(iter(entries(config, "contexts")), None)
    namespace = text(first, "context", "namespace") if code == 0 else _pods_namespace()
    context = target.context or text(config, "current-context") or None
    return Where(context, target.namespace or namespace or "default")


def _pods_namespace() -> str | None:
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    try:
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as stream:  # noqa: PTH123 - a fast start
            return stream.read(256).strip() or None
    except OSError:
        return None


def is_name(text: str) -> bool:
    """Whether an object can have that name: so nothing is taken for a flag."""
    return _NAME.fullmatch(text) is not None


def find(kubectl: Kubectl, kind: str | None, name: str) -> Call:
    """Begin to get the job or the deployment, or both, of a name; for `objects`."""
    kinds = [kind] if kind is not None else [TRAINING_JOBS, MODEL_DEPLOYMENTS]
    return kubectl.get(*(f"{each}/{name}" for each in kinds), "--ignore-not-found")


def job(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """The job of a name. Raises NotFoundError, and other ClusterErrors."""
    found = objects(find(kubectl, TRAINING_JOBS, name))
    if not found:
        raise missing(kubectl.target, "TrainingJob", name)
    return found[0]


def again(kubectl: Kubectl, before: dict[str, Any]) -> dict[str, Any]:
    """A job as it is now. before: as it was. Raises what `job` does, and NotFoundError where it is another one."""
    found = job(kubectl, text(before, "metadata", "name"))
    refuse_another(found, before)
    return found


def refuse_another(found: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise NotFoundError where an object is not the one that it was before."""
    if text(found, "metadata", "uid") != text(before, "metadata", "uid"):
        kind = "deployment" if text(before, "kind") == "ModelDeployment" else "job"
        name = text(before, "metadata", "name")
        raise NotFoundError(f"{name} was deleted meanwhile, and there is another {kind} of that name")


def missing(target: Target, kind: str, name: str) -> NotFoundError:
    """That there is no such object."""
    namespace = f" in namespace {target.namespace}" if target.namespace else " in this namespace"
    return NotFoundError(f"there is no {kind} {name}{namespace}: `headway status -A` lists those of all namespaces")
