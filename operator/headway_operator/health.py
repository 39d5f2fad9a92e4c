"""`/metrics`, `/healthz` and `/readyz` over HTTP. Healthy: the work gets done, and the watches show what happens."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

Check = Callable[[], str | None]
"""Says what is wrong; None if nothing is."""


async def serve(metrics: Callable[[], bytes], healthy: Check, ready: Check, ports: dict[str, int]) -> web.AppRunner:
    """Serve until the runner is cleaned up. `ports`: `metrics` and `health`; 0 takes any free port."""

    async def on_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def on_check(check: Check) -> Callable[[web.Request], object]:
        async def handle(_: web.Request) -> web.Response:
            wrong = check()
            return web.Response(text=wrong or "ok", status=503 if wrong else 200)

        return handle

    app = web.Application()
    app.router.add_get("/metrics", on_metrics)
    app.router.add_get("/healthz", on_check(healthy))  # type: ignore[arg-type]
    app.router.add_get("/readyz", on_check(ready))  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    for port in dict.fromkeys(ports.values()):
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - Prometheus and the kubelet come from outside
    return runner
