"""Queries of a rollout with all real parts but the operator: a Prometheus that scrapes both servers, and the judge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cluster.life.prometheus import Prometheus
from headway_api.queries import filled
from headway_api.rollout_wire import Analysis, QueryGate
from wire_client import PATIENCE, ask

from .split_world import BODY, INFER, Load
from .test_judged_rollouts import RETURN_SECONDS, World, world

ERRORS = (
    'sum(headway_server_errors_total{version="$candidate"} or vector(0))'
    ' / sum(headway_server_request_seconds_count{version="$candidate"})'
)
SERVED = 'sum(headway_server_request_seconds_count{version="$candidate"})'
ANALYSIS = Analysis(min_requests=100, errors_not_worse=False, latency_not_worse=False)
"""On a busy machine one of two processes is the slower one, which is not what these tests are about."""


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[tuple[World, Prometheus]]:
    """Two versions, their judge, and a Prometheus that scrapes both each second."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: []\n")
    async with world(tmp_path) as found:
        ports = {"1": found.stable.admin, "2": found.candidate.admin}
        with Prometheus(tmp_path, ports, rules) as prometheus:
            async with asyncio.timeout(PATIENCE):
                while await asyncio.to_thread(prometheus.get, "query", query="up") is None:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.1)
            yield found, prometheus


def gate(prometheus: Prometheus, query: str, **limits: Any) -> QueryGate:
    """As the operator writes it, but asked each second."""
    told = filled(query, {"candidate": 2, "stable": 1})
    url = f"http://127.0.0.1:{prometheus.port}"
    return QueryGate(name="own", url=url, query=told, interval_seconds=1, **limits)


async def test_a_step_waits_for_the_candidates_numbers_and_goes_on_with_them(
    there: tuple[World, Prometheus],
) -> None:
    found, prometheus = there
    await found.prepared()
    async with Load(found.stable.port) as load:
        await found.passed(0.5, analysis=ANALYSIS, queries=[gate(prometheus, SERVED, min=1)])
        passed = found.verdict
        assert [state.verdict for state in passed.gates if state.name == "query own"] == ["pass"]
        found.write(0.5, analysis=ANALYSIS, queries=[gate(prometheus, 'sum(none_such{version="$candidate"})', min=1)])
        said = await found.said(lambda said: "has no value" in said.queries)
        assert (said.verdict, said.queries) == ("open", "query own has no value: the query finds no series")
        found.write(0.5, analysis=ANALYSIS, queries=[gate(prometheus, "sum(by", min=1)])
        said = await found.said(lambda said: "parse error" in said.queries)
        assert said.queries.startswith(
            'query own has no value: Prometheus answers 400: bad_data: invalid parameter "query"'
        )
    assert load.failed == {}


async def test_a_number_that_goes_beyond_its_limit_takes_the_candidate_back_and_no_client_sees_it(
    there: tuple[World, Prometheus],
) -> None:
    found, prometheus = there
    await found.prepared()
    async with Load(found.stable.port) as load:
        await found.passed(0.25, analysis=ANALYSIS, queries=[gate(prometheus, ERRORS, max=0.05)])
        # Errors that the servers' own counts know nothing of: they come past the stable version.
        for _ in range(4000):
            reply = await ask(found.candidate.port, "POST", INFER, b"{}")
            assert reply.status == 400
            if found.verdict.verdict == "fail":
                break
        failed = await found.said(lambda said: said.verdict == "fail")
        assert failed.reason == "Query"
        assert "above its max 0.05, in 3 evaluations in a row, 1 s apart" in failed.message
        await asyncio.sleep(RETURN_SECONDS)
        answered = load.of("2")
        await load.sent(500)
        assert load.of("2") == answered, "it gets no request any more"
        await found.judge.kill()
        await found.judge.start()
        found.write(0.0)
        again = await found.said(lambda said: said.epoch == found.route.epoch)
        assert (again.verdict, again.message) == ("fail", failed.message)
    assert load.failed == {}


async def test_a_prometheus_that_goes_away_holds_the_rollout_and_fails_nothing(
    there: tuple[World, Prometheus],
) -> None:
    found, prometheus = there
    await found.prepared()
    async with Load(found.stable.port) as load:
        await found.passed(0.5, analysis=ANALYSIS, queries=[gate(prometheus, SERVED, min=1)])
        prometheus.__exit__(None, None, None)
        said = await found.said(lambda said: "no connection" in said.queries)
        assert said.verdict == "open"
        await load.sent(500)
        assert found.verdict.verdict == "open"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4):
                await found.said(lambda said: said.verdict == "fail")
        assert found.verdict.verdict == "open"
        assert (await ask(found.stable.port, "POST", INFER, BODY)).status == 200
    assert load.failed == {}
