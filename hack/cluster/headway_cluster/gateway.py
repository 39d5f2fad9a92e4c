"""A real gateway of the Gateway API on demand: Traefik, as a process that reaches the cluster's pods."""

from __future__ import annotations

import time

from . import build
from .api import http_answers
from .errors import ClusterError
from .shell import run
from .space import Space

PORT = 8000
"""Of the listeners: a Gateway's `port` is to be the same, as Traefik has no other entry points."""
PING_PORT = 8001
CLASS = """\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
"""


def start(space: Space) -> str:
    """Bring the CRDs and the GatewayClass `traefik`, and start Traefik unless it runs; the URL of its listeners."""
    if not space.alive():
        raise ClusterError("no cluster: run `hack/cluster/cluster up` first")
    kubeconfig = {"KUBECONFIG": str(space.paths.kubeconfig)}
    apply = [build.kubectl(), "apply", "--server-side", "--filename"]
    run([*apply, build.gateway_crds()], env=kubeconfig)
    run([*apply, "-"], env=kubeconfig, stdin=CLASS)
    build.build(build.TRAEFIK)
    address, ping = (f"{space.paths.ip}:{port}" for port in (PORT, PING_PORT))
    space.start(
        "traefik",
        [
            build.program(build.TRAEFIK, "traefik"),
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--providers.kubernetesgateway=true",
            f"--entrypoints.web.address={address}",
            f"--entrypoints.ping.address={ping}",
            "--ping=true",
            "--ping.entrypoint=ping",
            "--log.level=INFO",
            "--accesslog=true",
        ],
        kubeconfig,
    )
    deadline = time.monotonic() + 30
    while not http_answers(f"http://{ping}/ping"):
        if time.monotonic() > deadline:
            raise ClusterError(f"Traefik did not start: see {space.paths.logs / 'traefik.log'}")
        time.sleep(0.1)
    return f"http://{address}"
