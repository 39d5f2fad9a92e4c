"""The processes of one Ray node, without those that a single job does not need.

`ray start` gives each node, beside the raylet (and the GCS on the head), Python processes for the dashboard's server,
its agent, runtime environments and logs. Each of them imports Ray again, and the raylet starts no training process
before both agents have answered: on two cores they are a third of all work between apply and the first optimiser step.
This uses Ray's own `Node`, which is not a public interface; docs/decisions/0030 says what was measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

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

_AGENTS = ("--dashboard_agent_command=", "--runtime_env_agent_command=")
_NO_AGENT = "sh -c 'while kill -0 $PPID; do sleep 5; done'"
"""The raylet insists on two agents and ends with them. This one ends with the raylet, and needs no Python."""
_AGENT_PORTS = (
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    RUNTIME_ENV_AGENT_PORT_NAME,
)
_NO_PORT = 65_535
"""Where nothing listens: what the raylet is told that its agents have chosen. It waits for that."""


def start_node(*, head: bool, **parameters: Any) -> Any:
    """Start a node's processes, children of this one that end with it; the node. parameters: those of Ray's RayParams.

    Raises what Ray raises.
    """
    params = RayParams(
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        **parameters,
    )
    return _LeanNode(params, head=head, shutdown_at_exit=False, spawn_reaper=True)


class _LeanNode(Node):  # type: ignore[misc]  # ray has no types
    def start_api_server(self, **_: object) -> None:
        """Ray starts the dashboard's server even where no dashboard is asked for."""
        self._webui_url = ""

    def start_raylet(self, *arguments: Any, **keywords: Any) -> None:
        """As Ray's, with agents that do nothing."""
        for name in _AGENT_PORTS:
            persist_port(self._session_dir, self._node_id, name, _NO_PORT)
        with _without_agents():
            super().start_raylet(*arguments, **keywords)


@contextlib.contextmanager
def _without_agents() -> Iterator[None]:
    start = services.start_ray_process

    def lean(command: list[str], *arguments: Any, **keywords: Any) -> Any:
        return start([_stand_in(part) for part in command], *arguments, **keywords)

    services.start_ray_process = lean
    try:
        yield
    finally:
        services.start_ray_process = start


def _stand_in(part: str) -> str:
    name = next((name for name in _AGENTS if part.startswith(name)), None)
    return part if name is None else name + _NO_AGENT
