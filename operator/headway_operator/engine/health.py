"""`/metrics`, `/healthz` and `/readyz` over HTTP; and what healthy means: work gets done, watches show what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Check = Callable[[], str | None]
"""Says what is wrong; None if nothing is."""

BLIND_ROUNDS = 2
"""So many comparisons in a row with something missed mean that a watch shows nothing any more."""


def diagnosis(
    *, limit: float, longest: float, standstill: float, behind: Mapping[str, float], blind_rounds: Mapping[str, int]
) -> str | None:
    """What is wrong with the work, or with the watches; None if nothing is. All but `blind_rounds` are seconds."""
    if longest > limit:
        return f"a reconcile has gone on for {longest:.0f} s"
    if standstill > limit:
        return f"objects wait to be reconciled, and no reconcile has ended for {standstill:.0f} s"
    deaf = {name: seconds for name, seconds in behind.items() if seconds > limit}
    if deaf:
        since = max(deaf.values())
        return f"the watch of {' and of '.join(deaf)} has not shown this operator's own writes for {since:.0f} s"
    blind = [name for name, rounds in blind_rounds.items() if rounds >= BLIND_ROUNDS]
    return f"the watch of {' and of '.join(blind)} misses what happens" if blind else None


Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Answers a scrape that has this Accept header: the body and its content type."""


async def serve(metrics: Scrape, healthy: Check, ready: Check, ports: dict[str, int]) -> web.AppRunner:
    """Serve until the runner is cleaned up. `ports`: `metrics` and `health`; 0 takes any free port."""

    async def on_metrics(request: web.Request) -> web.Response:
        body, content_type = await metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

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
