"""A cluster's namespaces, seen from outside: made, talked to, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .paths import Paths
from .shell import find, run

APART = ("unshare", "--fork", "--kill-child=SIGKILL", "--pid", "--mount", "--mount-proc")
_ALSO_APART = ("--net", "--ipc", "--uts")


def start_time(pid: int) -> int | None:
    """When a process began (clock ticks since boot): with its id it names a process for good."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


class Space:
    """The namespaces of one cluster, and process 1 in them."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def record(self) -> dict[str, Any]:
        """What `up` wrote down; empty where no cluster of this name was made."""
        try:
            loaded: dict[str, Any] = json.loads(self.paths.record.read_text())
            return loaded
        except (OSError, ValueError):
            return {}

    def alive(self) -> bool:
        """Whether the recorded process 1 is still that very process."""
        noted = self.record()
        return bool(noted) and start_time(noted["pid"]) == noted["started"]

    def create(self, details: Mapping[str, Any]) -> None:
        """Make the namespaces and wait until process 1 in them answers."""
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        init = Path(__file__).with_name("init.py")
        with (self.paths.logs / "init.log").open("ab") as log:
            parent = subprocess.Popen(
                [*APART, *_ALSO_APART, sys.executable, "-I", str(init), str(self.paths.init_socket)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 10
        while not (child := self._child(parent.pid)) or not self.paths.init_socket.exists():
            if parent.poll() is not None or time.monotonic() > deadline:
                parent.kill()
                text = (self.paths.logs / "init.log").read_text()[-2000:]
                raise ClusterError(f"the cluster's namespaces could not be made:\n{text}")
            time.sleep(0.02)
        noted = {"pid": child, "started": start_time(child), **details}
        self.paths.record.write_text(json.dumps(noted))

    @staticmethod
    def _child(pid: int) -> int | None:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def ask(self, do: str, timeout: float = 60, **order: Any) -> dict[str, Any]:
        """Give process 1 an order and return its answer."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(timeout)
            try:
                link.connect(str(self.paths.init_socket))
                link.sendall(json.dumps({"do": do, **order}).encode() + b"\n")
                data = b""
                while not data.endswith(b"\n") and (part := link.recv(65536)):
                    data += part
            except OSError as error:
                raise ClusterError(f"cluster {self.paths.name!r} does not answer: {error}") from error
        answer: dict[str, Any] = json.loads(data or b'{"error": "process 1 went away"}')
        if "error" in answer:
            raise ClusterError(f"{do} {order.get('name', '')}: {answer['error']}")
        return answer

    def run(self, argv: Sequence[str], timeout: float = 60, check: bool = True) -> str:
        """Run a short command inside the namespaces."""
        answer = self.ask("run", timeout=timeout, argv=list(argv))
        if check and answer["code"] != 0:
            raise ClusterError(f"{' '.join(argv)}: {answer['output'].strip()}")
        return str(answer["output"])

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a long-running program; its log is logs/NAME.log."""
        log = str(self.paths.logs / f"{name}.log")
        self.ask("start", name=name, argv=list(argv), env=dict(env or {}), log=log)

    def programs(self) -> dict[str, dict[str, Any]]:
        """The programs by name, with the status of those that ended."""
        found: dict[str, dict[str, Any]] = self.ask("list")["programs"]
        return found

    def ended(self) -> str | None:
        """The name of a program that ended although it should run."""
        return next((n for n, p in self.programs().items() if p["status"] is not None), None)

    def kill(self) -> None:
        """End process 1, and with it everything in the namespaces; wait until it is gone."""
        noted = self.record()
        if not noted or start_time(noted["pid"]) != noted["started"]:
            return
        os.kill(noted["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while start_time(noted["pid"]) == noted["started"] and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            time.sleep(0.02)

    def kill_strays(self) -> None:
        """End a process 1 that was made but never recorded (its maker was killed); its socket names it."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.paths.init_socket).encode() in words and b"init.py" in b" ".join(words):
                os.kill(int(entry.name), signal.SIGKILL)

    def link(self) -> None:
        """Join the machine and the namespaces by a pair of virtual interfaces, and nothing else."""
        paths = self.paths
        ip = find("ip") or "ip"
        peer = ["type", "veth", "peer", "name", "eth0", "netns", str(self.record()["pid"])]
        run([ip, "link", "add", paths.veth, *peer])
        run([ip, "address", "add", f"{paths.host_ip}/30", "dev", paths.veth])
        run([ip, "link", "set", paths.veth, "up"])
        script = f"link set lo up\naddress add {paths.ip}/30 dev eth0\nlink set eth0 up\n"
        batch = paths.config / "network.batch"
        batch.write_text(script)
        self.run([ip, "-batch", str(batch)])

    def unlink(self) -> None:
        """Remove the machine's end of the link, should the kernel not have done so yet."""
        ip = find("ip") or "ip"
        if Path(f"/sys/class/net/{self.paths.veth}").exists():
            subprocess.run([ip, "link", "del", self.paths.veth], capture_output=True, check=False)

    def remove_state(self) -> None:
        """Remove the run state: certificates, logs, volumes."""
        shutil.rmtree(self.paths.state, ignore_errors=True)
