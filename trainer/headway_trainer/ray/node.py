"""The processes of one Ray node, without those that a single job does not need.

`ray start` gives each node, beside the raylet (and the GCS on the head), Python processes for the dashboard's server,
its agent, runtime environments and logs. Each of them imports Ray again, and the raylet starts no training process
before both agents have answered: on two cores they are a third of all work between apply and the first optimiser step.
This uses Ray's own `Node`, which is not a public interface; docs/decisions/0030 says what was measured.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
    persist_port,
)

from headway_trainer.ray.stock import stock, warn_of_version

_NO_AGENT = "sh -c 'trap : INT; while kill -0 $PPID; do sleep 5; done'"
"""The raylet insists on two agents and ends with them. This one ends with the raylet, and needs no Python. Ctrl-C
is for the driver alone, but a terminal sends it to all."""
_NO_PORT = 65_535
"""Where nothing listens: what the raylet is told that such an agent has chosen. It waits for that."""
_DASHBOARD_PORTS = (DASHBOARD_AGENT_LISTEN_PORT_NAME, METRICS_AGENT_PORT_NAME, METRICS_EXPORT_PORT_NAME)
OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's least: only the training function and its arguments go through the object store."""
_SETUP = Path(__file__).with_name("setup_worker.py")


def start_node(*, head: bool, host: str | None, runtime_envs: bool, temp_dir: str, **parameters: Any) -> Any:
    """Start a node's processes, children of this one that end with it; the node.

    host: its IP address; this machine's if none. runtime_envs: whether tasks may ask for a `runtime_env`. parameters:
    others of Ray's RayParams. Raises what Ray raises.
    """
    logging.getLogger("ray").setLevel(logging.WARNING)
    warn_of_version(ray.__version__)
    parameters |= {
        "node_ip_address": host or ray.util.get_node_ip_address(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "plasma_directory": temp_dir,
        "temp_dir": temp_dir,
        "include_dashboard": False,
    }
    if stock():
        return Node(_with_rays_own_scripts(parameters), head=head, shutdown_at_exit=False, spawn_reaper=True)
    params = RayParams(include_log_monitor=False, no_monitor=True, setup_worker_path=str(_SETUP), **parameters)
    return _LeanNode(params, head=head, runtime_envs=runtime_envs)


def _with_rays_own_scripts(parameters: dict[str, Any]) -> RayParams:
    """As `ray start` fills them in."""
    folder = Path(ray.__file__).parent / "_private" / "workers"
    return RayParams(
        setup_worker_path=str(folder / "setup_worker.py"), worker_path=str(folder / "default_worker.py"), **parameters
    )


class _LeanNode(Node):  # type: ignore[misc]  # ray has no types
    def __init__(self, parameters: RayParams, *, head: bool, runtime_envs: bool) -> None:
        self._not_needed: dict[str, tuple[str, ...]] = {"--dashboard_agent_command=": _DASHBOARD_PORTS}
        if not runtime_envs:
            self._not_needed["--runtime_env_agent_command="] = (RUNTIME_ENV_AGENT_PORT_NAME,)
        super().__init__(parameters, head=head, shutdown_at_exit=False, spawn_reaper=True)

    def start_api_server(self, **_: object) -> None:
        """Ray starts the dashboard's server even where no dashboard is asked for."""
        self._webui_url = ""

    def start_raylet(self, *arguments: Any, **keywords: Any) -> None:
        """As Ray's, with agents that do nothing where nobody needs them."""
        for name in itertools.chain(*self._not_needed.values()):
            persist_port(self._session_dir, self._node_id, name, _NO_PORT)
        with _changed(self._lean):
            super().start_raylet(*arguments, **keywords)

    def _lean(self, part: str) -> str:
        option = next((option for option in self._not_needed if part.startswith(option)), None)
        return part if option is None else option + _NO_AGENT


@contextlib.contextmanager
def _changed(change: Callable[[str], str]) -> Iterator[None]:
    """Change each part of the commands that Ray starts in this block."""
    start = services.start_ray_process

    def changed(command: list[str], *arguments: Any, **keywords: Any) -> Any:
        return start([change(part) for part in command], *arguments, **keywords)

    services.start_ray_process = changed
    try:
        yield
    finally:
        services.start_ray_process = start
