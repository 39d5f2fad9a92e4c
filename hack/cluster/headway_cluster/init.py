"""Process 1 of a cluster's namespaces: starts its programs, reaps what ends, and does what it is told.

Everything of a cluster lives in one process, mount and network namespace. When this process ends the kernel
ends all the others, unmounts what they mounted and removes their network: a cluster cannot leave parts
behind, however it ends. Orders are one JSON line each on a unix socket, and so is the answer.

It runs as a script of its own (`python3 init.py SOCKET`), in a namespace that was just made.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

Reply = Callable[[dict[str, Any]], None]


@dataclass
class Program:
    """A long-running program, known by name."""

    argv: list[str]
    env: dict[str, str]
    log: str
    pid: int
    status: int | None = None


@dataclass
class Init:
    """The state of process 1. Single-threaded: a selector loop, woken by signals."""

    programs: dict[str, Program] = field(default_factory=dict)
    commands: dict[int, tuple[IO[bytes], Reply]] = field(default_factory=dict)
    stops: list[tuple[str, float, Reply]] = field(default_factory=list)

    def start(self, order: dict[str, Any], reply: Reply) -> None:
        """Start a named program; its output goes to its log. One that runs already is left alone."""
        name = order["name"]
        known = self.programs.get(name)
        if known and known.status is None:
            reply({"pid": known.pid, "already": True})
            return
        env = {**os.environ, **order.get("env", {})}
        pid = self._spawn(order["argv"], env, order["log"])
        self.programs[name] = Program(order["argv"], order.get("env", {}), order["log"], pid)
        reply({"pid": pid})

    def restart(self, order: dict[str, Any], reply: Reply) -> None:
        """Start again, with the same words, a program that has ended."""
        known = self.programs[order["name"]]
        self.start({"name": order["name"], "argv": known.argv, "env": known.env, "log": known.log}, reply)

    def stop(self, order: dict[str, Any], reply: Reply) -> None:
        """Signal a named program and answer once it has ended, by SIGKILL if it takes too long."""
        known = self.programs[order["name"]]
        if known.status is not None:
            reply({"status": known.status})
            return
        os.kill(known.pid, order.get("signal", signal.SIGTERM))
        self.stops.append((order["name"], time.monotonic() + order.get("timeout", 10), reply))

    def programs_now(self, _: dict[str, Any], reply: Reply) -> None:
        """What runs, and how what does not run has ended."""
        reply({"programs": {n: {"pid": p.pid, "status": p.status} for n, p in self.programs.items()}})

    def run(self, order: dict[str, Any], reply: Reply) -> None:
        """Run a short command inside the namespaces; the answer has its exit code and output."""
        output = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the command has ended)
        pid = self._spawn(order["argv"], dict(os.environ), output.fileno())
        self.commands[pid] = (output, reply)

    def write(self, order: dict[str, Any], reply: Reply) -> None:
        """Write files such as /proc/sys/net/..., which mean this network only from in here."""
        for path, text in order["files"].items():
            Path(path).write_text(text)
        reply({})

    def _spawn(self, argv: list[str], env: dict[str, str], output: str | int) -> int:
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        opened = os.open(output, append, 0o644) if isinstance(output, str) else output
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.posix_spawnp(
                argv[0],
                argv,
                env,
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ],
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, opened, 1),
                    (os.POSIX_SPAWN_DUP2, opened, 2),
                ],
            )
        finally:
            os.close(null)
            if isinstance(output, str):
                os.close(opened)

    def reap(self) -> None:
        """Collect whatever ended: our programs, our commands, and orphans such as containers' shims."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            if pid in self.commands:
                output, reply = self.commands.pop(pid)
                output.seek(0)
                reply({"code": code, "output": output.read().decode(errors="replace")})
                output.close()
            for known in self.programs.values():
                if known.pid == pid:
                    known.status = code

    def settle_stops(self) -> None:
        """Answer the stops whose program has ended; kill the ones that took too long."""
        waiting = []
        for name, deadline, reply in self.stops:
            known = self.programs[name]
            if known.status is not None:
                reply({"status": known.status})
                continue
            if time.monotonic() > deadline:
                os.kill(known.pid, signal.SIGKILL)
            waiting.append((name, deadline, reply))
        self.stops = waiting

    def obey(self, connection: socket.socket, line: bytes) -> None:
        """Carry out one order. A bad one is answered with its error: process 1 must never end over it."""

        def reply(answer: dict[str, Any]) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")
            connection.close()

        try:
            order = json.loads(line)
            orders = {
                "start": self.start,
                "restart": self.restart,
                "stop": self.stop,
                "list": self.programs_now,
                "run": self.run,
                "write": self.write,
            }
            orders[order["do"]](order, reply)
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def _read_line(connection: socket.socket) -> bytes:
    connection.settimeout(5)
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            break
        data += part
    return data


def main(path: str) -> None:
    """Serve orders until told to end."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    Path(path).chmod(0o600)
    server.listen(16)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    init = Init()
    while True:
        for key, _ in selector.select(timeout=0.2 if init.stops else None):
            if key.fileobj is server:
                connection, _ = server.accept()
                try:
                    init.obey(connection, _read_line(connection))
                except OSError:
                    connection.close()
            else:
                os.read(wake_read, 4096)
        init.reap()
        init.settle_stops()


if __name__ == "__main__":
    main(sys.argv[1])
