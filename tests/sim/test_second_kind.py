"""A second kind lives in the same engine: in every world it is reconciled beside the jobs, whatever goes wrong."""

from __future__ import annotations

import pytest

from headway_operator.engine import kube
from sim.builders import T0
from sim.oddities import draw
from sim.world import World
from tiny import TINIES

TEXTS = ("one", "two", "three")


def with_a_tiny(seed: int) -> World:
    """A world with a Tiny, whose text is changed twice."""
    world = World(draw(seed))
    namespace = world.schedule.jobs[0].namespace
    name = world.schedule.jobs[0].name

    name = "tiny"

    def apply() -> None:
        body = {"apiVersion": TINIES.api_version, "kind": TINIES.kind, "metadata": {"name": name, "generation": 1}}
        world.server.create(TINIES, namespace, {**body, "spec": {"text": TEXTS[0]}})

    def edit(text: str) -> None:
        world.server.change(TINIES, name, lambda body: body["spec"].update(text=text), namespace)

    world.agenda.at(T0 + 2, apply)
    for number, text in enumerate(TEXTS[1:], start=1):
        world.agenda.at(T0 + 20 * number, edit, text)
    return world


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_what_is_said_of_it_holds_in_the_end_in_any_world(first: int) -> None:
    reconciled = 0
    for seed in range(first, first + 20):
        world = with_a_tiny(seed).run()
        for tiny in world.server.of(TINIES):
            meta = tiny["metadata"]
            copy = world.server.find(kube.CONFIG_MAPS, f"{meta['name']}-copy", meta["namespace"])
            assert copy is not None, (seed, world.timeline)
            assert copy["data"] == {"text": TEXTS[-1]}, seed
            assert tiny["status"]["text"] == TEXTS[-1], seed
            reconciled += 1
    assert reconciled > 10, "hardly any of them was left: this shows nothing"
