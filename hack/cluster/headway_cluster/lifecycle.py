"""Up, down and status of one cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import build, control_plane, deps, node, objects, pki, registry
from .api import Api, dns_answers, http_answers
from .errors import ClusterError
from .paths import REGISTRY_HOST, Paths, cache_dir, locked
from .shell import free_gib, need_root, say
from .space import Space

LEAST_DISK_GIB = 4.0


@dataclass(frozen=True)
class Options:
    """What a cluster should be like; the same words again find it up already."""

    kwok_nodes: int = 0
    real_node: bool = True
    kwok_taint: str = "auto"
    gang: bool = False

    def taint(self) -> bool:
        """Nodes on paper repel pods only where a real node might want them."""
        return self.real_node if self.kwok_taint == "auto" else self.kwok_taint == "always"


def external_kubeconfig() -> str | None:
    """One's own cluster, which is then used as it is: never made, changed or removed."""
    return os.environ.get("HEADWAY_TEST_KUBECONFIG") or None


def up(paths: Paths, options: Options) -> None:
    """Make the cluster and wait until it is of use; on any failure nothing of it stays."""
    need_root("cluster up")
    deps.install()
    modules = [build.KUBERNETES, build.ETCD]
    modules += [build.COREDNS, build.PAUSE] if options.real_node else []
    modules += [build.KWOK] if options.kwok_nodes else []
    build.build(*modules)
    with locked(paths.lock):
        space = Space(paths)
        if space.alive() and Api(paths).ready():
            if asdict(Options()) | space.record().get("options", {}) != asdict(options):
                raise ClusterError(f"cluster {paths.name!r} is up with other options: `down` first")
            say(f"cluster {paths.name!r} is up already")
            return
        _remove(space)
        if options.real_node and free_gib(cache_dir()) < LEAST_DISK_GIB:
            raise ClusterError(f"less than {LEAST_DISK_GIB:.0f} GiB free at {cache_dir()}: make room first")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.default_int_handler)
        began = time.monotonic()
        try:
            _make(space, options)
        except BaseException:
            _keep_logs(paths)
            _remove(space)
            raise
        say(f"cluster {paths.name!r} is up after {time.monotonic() - began:.1f} s")


def _make(space: Space, options: Options) -> None:
    paths = space.paths
    for folder in (paths.config, paths.logs, paths.volumes):
        folder.mkdir(parents=True, mode=0o755)
    paths.state.chmod(0o755)
    pki.make(paths)
    space.create({"options": asdict(options), "name": paths.name})
    space.link()
    control_plane.start_etcd(space)
    control_plane.start_apiserver(space, options.gang)
    api = Api(paths)
    with ThreadPoolExecutor(1) as pool:
        runtime = pool.submit(_start_runtime, space) if options.real_node else None
        _wait(space, "API server", api.ready, "kube-apiserver", 90)
        say("  API server ready")
        control_plane.start_controllers(space, options.gang)
        objects.create_base(api, paths, options.real_node)
        if runtime:
            runtime.result()
    if options.real_node:
        node.start_kubelet(space)
        node.start_proxy(space)
        node.start_dns(space)
    if options.kwok_nodes:
        control_plane.start_kwok(space)
        objects.create_kwok_nodes(api, options.kwok_nodes, options.taint())
    _await_all(space, api, options)


def _start_runtime(space: Space) -> None:
    node.prepare(space)
    registry.start(space)
    node.start_containerd(space)


def _await_all(space: Space, api: Api, options: Options) -> None:
    paths = space.paths
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    _wait(space, "default service account", lambda: api.get(account) is not None, "kube-controller-manager", 60)
    say("  controllers at work")
    if options.real_node:
        _wait(space, "node", lambda: _node_ready(api, paths.node), "kubelet", 90)
        say("  node ready")
        name = "kubernetes.default.svc.cluster.local"
        _wait(space, "DNS", lambda: dns_answers(paths.ip, name), "coredns", 60)
        _wait(space, "registry", lambda: http_answers(f"http://{paths.registry}/v2/"), "registry", 30)
        say("  DNS and registry answer")
    if options.kwok_nodes:
        last = f"kwok-{options.kwok_nodes - 1:04d}"
        _wait(space, "kwok's nodes", lambda: _node_ready(api, last), "kwok", 60 + options.kwok_nodes)
        say(f"  {options.kwok_nodes} kwok nodes ready")


def _node_ready(api: Api, name: str) -> bool:
    found = api.get(f"/api/v1/nodes/{name}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    taints = found.get("spec", {}).get("taints", [])
    return ready and not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in taints)


def _wait(space: Space, what: str, done: Callable[[], bool], program: str, seconds: float) -> None:
    """Wait for something; if it takes too long or a program ends, show that program's last words."""
    deadline = time.monotonic() + seconds
    while not done():
        guilty = space.ended()
        if guilty or time.monotonic() > deadline:
            why = f"{guilty} ended" if guilty else f"not there after {seconds:.0f} s"
            log = space.paths.logs / f"{guilty or program}.log"
            lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            raise ClusterError("\n".join([f"{what}: {why}; the last lines of {log.name}:", *lines]))
        time.sleep(0.1)


def _keep_logs(paths: Paths) -> None:
    """A failed `up` leaves nothing but its logs, in the cache."""
    kept = cache_dir() / "failed" / paths.name
    shutil.rmtree(kept, ignore_errors=True)
    if paths.logs.exists():
        shutil.copytree(paths.logs, kept)
        say(f"logs kept in {kept}")


def down(paths: Paths) -> None:
    """Remove the cluster, whatever state it is in. Doing it twice is fine."""
    if not paths.state.exists() and not Path(f"/sys/class/net/{paths.veth}").exists():
        say(f"cluster {paths.name!r} is not there")
        return
    need_root("cluster down")
    with locked(paths.lock):
        _remove(Space(paths))
    say(f"cluster {paths.name!r} is gone")


def _remove(space: Space) -> None:
    """Remove all there is. A second Ctrl-C waits: half a removal would help nobody."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _remove_all(space)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _remove_all(space: Space) -> None:
    if space.alive():
        try:
            _empty_containerd(space)
        except ClusterError as error:
            say(f"  containers could not be removed one by one ({error}): the next `up` will do it")
    space.kill()
    space.kill_strays()
    space.unlink()
    node.remove_cgroups(space.paths)
    space.remove_state()


def _empty_containerd(space: Space) -> None:
    """Remove containers' file systems while containerd can: its store outlives the cluster."""
    running = {name for name, program in space.programs().items() if program["status"] is None}
    if "containerd" not in running:
        return
    if "kubelet" in running:
        space.ask("stop", name="kubelet", signal=signal.SIGKILL)
    node.purge_containers(space)
    space.ask("stop", name="containerd", timeout=5)


def status(paths: Paths) -> dict[str, Any]:
    """What a person or a test wants to know about a cluster."""
    external = external_kubeconfig()
    if external:
        return {"name": "external", "up": True, "kubeconfig": external}
    space = Space(paths)
    alive = space.alive()
    found: dict[str, Any] = {"name": paths.name, "up": alive and Api(paths).ready()}
    if alive:
        found |= {
            "kubeconfig": str(paths.kubeconfig),
            "server": paths.api_url,
            "node": paths.node if space.record()["options"]["real_node"] else None,
            "registry": paths.registry,
            "imagePrefix": REGISTRY_HOST,
            "hostFromPods": paths.host_ip,
            "logs": str(paths.logs),
            "programs": {
                n: "runs" if p["status"] is None else f"ended with {p['status']}" for n, p in space.programs().items()
            },
        }
    return found


def restart(paths: Paths, program: str, only: str = "") -> None:
    """Stop and start one program, for tests of what happens then."""
    space = Space(paths)
    if program not in space.programs():
        raise ClusterError(f"no program {program!r}: there are {', '.join(space.programs())}")
    if only != "start":
        space.ask("stop", name=program, signal=signal.SIGKILL if only == "kill" else signal.SIGTERM)
    if only in ("", "start"):
        space.ask("restart", name=program)


def dump(found: dict[str, Any]) -> str:
    """As JSON, for scripts and people alike."""
    return json.dumps(found, indent=2)
