"""`spec.rollout`: how a new version takes the old one's place, and what it has to show on its way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Rule, Section, at_most_one, exactly_one, formed
from headway_api.queries import Queries

MOST_STEPS = 16
WEEK = 604_800
MONTH = 2_592_000
MIRRORED = 0.1
"""The share of requests that is mirrored for agreement where none is said."""

Seconds = Annotated[int, Field(ge=0, le=WEEK)]
Weight = Annotated[int, Field(ge=1, le=99)]
"""Percent of the requests. After its last step a version has 100, which is no step."""


class Step(Section):
    """A share of the requests, and how long the new version has it at least."""

    weight: Weight
    """Percent of the requests that the new version answers; the old one answers the others."""
    min_seconds: Seconds = 60
    """Seconds that the step lasts at least, from when all servers keep to its share."""


class Canary(Section):
    """The new version gets a share of the requests, drawn for each by itself, that rises from step to step.

    A step is over when `minSeconds` have passed, the new version has answered `analysis.minRequests`, and no gate
    fails. After the last step it answers all requests.
    """

    rules = (
        Rule(
            cel="self.steps.map(step, step.weight).isSorted()"
            " && self.steps.all(step, self.steps.exists_one(other, other.weight == step.weight))",
            message="weights of steps rise from each step to the next: put them in order, and no two alike",
            holds=lambda canary: all(
                one.weight < other.weight for one, other in zip(canary.steps, canary.steps[1:], strict=False)
            ),
            field="steps",
        ),
    )

    steps: Annotated[
        list[Step],
        Field(min_length=1, max_length=MOST_STEPS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default=[Step(weight=5), Step(weight=25), Step(weight=50)])
    """The shares, each greater than the one before. 100 is what comes after the last one, and needs no step."""
    bake_seconds: Seconds = 300
    """Seconds that the old version's pods stay, at their full number, once the new one answers all requests: where it
    then breaks a limit or crashes, requests go back to the old ones at once."""


class UnitOf(Section):
    """What a request is assigned to a version by: those of one value always meet the same version. One of the two."""

    rules = (exactly_one("header", "cookie", of="unit"),)

    header: (
        Annotated[
            str,
            formed(
                r"^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$",
                "must be the name of a header: letters, digits, '-' and '_', for example x-user",
                max_length=128,
            ),
        ]
        | None
    ) = None
    """The name of a header."""
    cookie: (
        Annotated[
            str,
            formed(
                r"^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$",
                "must be the name of a cookie: letters, digits, '-', '_' and '.', for example user",
                max_length=128,
            ),
        ]
        | None
    ) = None
    """The name of a cookie."""


class AbTest(Section):
    """The new version answers a part of the users, always the same ones, for as long as the test goes on.

    It ends by itself: with the first gate that fails; with the new version in the old one's place, once `minSeconds`
    have passed, it has answered `analysis.minRequests` and no gate fails; and after `maxSeconds` in any case.
    """

    rules = (
        Rule(
            cel="self.minSeconds <= self.maxSeconds",
            message="minSeconds is above maxSeconds: the test would be over before it may end; correct one of the two",
            holds=lambda test: test.min_seconds <= test.max_seconds,
            field="minSeconds",
        ),
    )

    weight: Weight = 50
    """Percent of the units that the new version answers."""
    unit: UnitOf
    """What is assigned: users, sessions, devices."""
    min_seconds: Annotated[int, Field(ge=0, le=MONTH)] = 60
    """Seconds that it lasts at least, from when all servers keep to it."""
    max_seconds: Annotated[int, Field(ge=60, le=MONTH)] = 1_209_600
    """Seconds after which a version that was not proved good enough by then is rejected, as Stalled."""
    bake_seconds: Seconds = 300
    """Seconds that the old version's pods stay once the new one answers all requests."""


class Shadow(Section):
    """The new version gets copies of requests, and its answers are only compared, and never given to a client.

    When `minSeconds` have passed, it has answered `analysis.minRequests` and no gate fails, it answers all requests.
    """

    sample: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """The part of the requests that is copied to it."""
    min_seconds: Seconds = 60
    """Seconds that it lasts at least, from when all servers keep to it."""
    bake_seconds: Seconds = 300
    """Seconds that the old version's pods stay once the new one answers all requests."""


class BlueGreen(Section):
    """The new version's pods are made beside the old ones; once all are ready, requests go to them, all at once."""

    bake_seconds: Seconds = 300
    """Seconds that the old version's pods stay, at their full number, after that: if the new ones crash meanwhile,
    requests go back to the old ones at once."""


class Recreate(Section):
    """The old version's pods are deleted before the new one's are made, if no two models fit. None answers between."""


class Errors(Section):
    """What share of a version's answers may be errors of the server (5xx, no answer, too late)."""

    max_rate: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """The limit; none if absent."""
    not_worse: bool = True
    """Whether it must not be above the old version's share at the same time."""


class Latency(Section):
    """How long a version may take, by the server's own clock, without the way."""

    max_p99_milliseconds: Annotated[float, Field(gt=0.0, le=3_600_000.0)] | None = None
    """The limit to the 99th percentile; none if absent."""
    not_worse: bool = True
    """Whether its share of slow answers must not be above the old version's at the same time. What is slow is the old
    version's 99th percentile before the rollout."""


class Agreement(Section):
    """In how many of the requests that both versions answer they have to say the same.

    A version that was trained anew differs in some: this finds one that is wrong altogether.
    """

    min: Annotated[float, Field(ge=0.0, le=1.0)]
    """The least share."""
    sample: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """The part of the requests that both versions answer, the new one for comparison only; 0.1 if absent.

    In a shadow rollout `shadow.sample` says it.
    """
    tolerance: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-3
    """Numbers that differ by no more than this part of them are the same; labels have to be equal."""


class Analysis(Section):
    """What a new version is held to while requests are split. Too few requests are no verdict, neither way."""

    alpha: Annotated[float, Field(gt=0.0, le=0.5)] = 0.05
    """The probability, at most, that a version as good as allowed is rejected by chance, over the whole rollout."""
    min_requests: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    """Requests that the new version has to answer in a step before that is over."""
    errors: Errors = Errors()
    """Errors."""
    latency: Latency = Latency()
    """Times."""
    agreement: Agreement | None = None
    """Answers; not compared if absent."""
    queries: Queries = Field(default_factory=list)
    """Numbers of a Prometheus. Each has to have had a value in a step, within its limits, before that is over."""


class Rollout(Section):
    """How a new version takes the old one's place: by one of the kinds, or as blueGreen with its defaults.

    No kind is filled in where none is given: another one that is applied later would then stand beside it.
    """

    rules = (
        at_most_one(
            *("canary", "abTest", "shadow", "blueGreen", "recreate"),
            why="they are the kinds of rollout, and without any of them it is blueGreen",
        ),
        Rule(
            cel="!has(self.recreate) || self.approval != 'manual'",
            message="approval is manual with recreate, where nobody would answer until it comes: take one of them out",
            holds=lambda rollout: rollout.recreate is None or rollout.approval != "manual",
            field="approval",
        ),
        Rule(
            cel="!has(self.shadow) || !has(self.analysis.agreement) || !has(self.analysis.agreement.sample)",
            message="agreement.sample is not for shadow, of which all copies are compared: set shadow.sample alone",
            holds=lambda rollout: (
                rollout.shadow is None
                or rollout.analysis.agreement is None
                or rollout.analysis.agreement.sample is None
            ),
            field="analysis",
        ),
    )

    canary: Canary | None = None
    """By rising shares of the requests."""
    ab_test: AbTest | None = None
    """By a fixed part of the users."""
    shadow: Shadow | None = None
    """By copies of requests."""
    blue_green: BlueGreen | None = None
    """Beside the old version, all at once. The default, as of all kinds it alone neither waits for requests, nor
    leaves clients without an answer."""
    recreate: Recreate | None = None
    """After the old version."""
    approval: Literal["automatic", "manual"] = "automatic"
    """manual: what has shown all that is asked for waits until `versions.approve` names it, before it answers alone."""
    progress_deadline_seconds: Annotated[int, Field(ge=10, le=WEEK)] = 600
    """Seconds that a candidate may take until all its pods are ready; then it is rejected, and the old version stays.

    One whose pods crash again and again is rejected before.
    """
    step_deadline_seconds: Annotated[int, Field(ge=60, le=MONTH)] = 3600
    """Seconds beyond its `minSeconds` that a step of a canary or a shadow rollout may take; `onStall` says what then.

    What takes so long has hardly any requests, or servers that nobody hears: neither is the new version's fault.
    """
    on_stall: Literal["wait", "rollback"] = "wait"
    """wait: say so, stay at that step, and continue once there is enough evidence. rollback: reject the version."""
    analysis: Analysis = Analysis()
    """What the new version is held to in canary, abTest and shadow."""

    @property
    def split(self) -> Canary | AbTest | Shadow | None:
        """The kind of rollout, where it is one in which both versions get requests."""
        return self.canary or self.ab_test or self.shadow

    @property
    def bake_seconds(self) -> int:
        """Seconds that the old version's pods stay once the new one answers alone."""
        kind = self.split or self.blue_green or BlueGreen()
        return 0 if self.recreate is not None else kind.bake_seconds
