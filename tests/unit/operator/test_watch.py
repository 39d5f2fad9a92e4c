"""What kopf is given takes each event in, whatever comes of it; kopf's own processing of an event calls it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import kopf
import pytest
from kopf._cogs.structs import references
from kopf._core.actions import lifecycles
from kopf._core.engines import indexing
from kopf._core.reactor import inventory, processing

from headway_operator.engine import kube
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.store import News, Store
from headway_operator.engine.watch import Watches, _settings
from sim.builders import T0
from unit.operator.bodies import KEY, job_body, training_jobs

JOBS = references.Resource(
    group=kube.JOBS.group,
    version=kube.JOBS.version,
    plural=kube.JOBS.plural,
    kind=kube.JOBS.kind,
    namespaced=True,
    preferred=True,
    verbs=frozenset({"list", "watch", "patch"}),
)


class Site:
    """A store, its watches, and what has been put on the queue."""

    def __init__(self) -> None:
        self.store = Store((training_jobs(),))
        self.freshness = Freshness(self.store.resources(), now=lambda: T0, namespaces=(), lag=lambda _, __: None)
        self.added: list[News] = []
        self.watches = Watches(self.store, self.freshness, add=self.add, namespaces=(), now=lambda: T0)
        self.registry = self.watches._registry()

    def add(self, news: News) -> None:
        self.added.append(news)

    def see(self, kind: str | None, body: dict[str, Any]) -> None:
        """An event of a job, as kopf processes it."""
        asyncio.run(
            processing.process_resource_event(
                lifecycle=lifecycles.all_at_once,
                indexers=indexing.OperatorIndexers(),
                registry=self.registry,
                settings=_settings(self.store.resources()),
                memories=inventory.ResourceMemories(),
                memobase=kopf.Memo(),  # type: ignore[arg-type]  # an opaque type of kopf's
                resource=JOBS,
                raw_event={"type": kind, "object": body},  # type: ignore[typeddict-item]  # as the API server sends it
                event_queue=asyncio.Queue(),
            )
        )


def test_an_event_is_taken_in_and_kopf_keeps_no_more_of_it_than_its_metadata() -> None:
    site, body = Site(), job_body(3, phase="Running")
    site.see("ADDED", body)
    owner = site.store.owner(KEY)
    assert owner is not None
    assert (owner.version, owner.phase) == (3, "Running")
    assert (site.added, site.freshness.last_event) == ([News(KEY)], {"trainingjobs": T0})
    assert set(body) == {"metadata"}


def test_an_echo_is_no_news_and_a_deletion_is() -> None:
    site = Site()
    site.see(None, job_body(3))
    site.see("MODIFIED", job_body(3))
    assert site.added == [News(KEY)]
    site.see("DELETED", job_body(4))
    assert site.added == [News(KEY), News(KEY)]
    assert site.store.owner(KEY) is None


def test_an_error_is_told_and_ends_neither_the_watch_nor_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()

    def fail(news: News) -> None:
        raise RuntimeError(f"no room for {news.key.name}")

    monkeypatch.setattr(site.watches, "_add", fail)
    with caplog.at_level(logging.ERROR, logger="headway_operator"):
        site.see("ADDED", job_body(3))
    assert "an event of trainingjobs could not be taken in" in caplog.text
    assert "no room for digits" in caplog.text
