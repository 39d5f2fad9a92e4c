"""Whatever servers tell and an operator writes, the judge has an answer; what it writes is readable and bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway_api import rollout_wire as wire
from headway_server.judge.rollout import Judge
from rollouts import CANDIDATE, STABLE, UID

SMALL = st.integers(0, 6)
NUMBERS = st.one_of(SMALL, st.integers(-(2**70), 2**70))
SHARES = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0, 5e-324]), st.floats(0, 1))
TEXTS = st.one_of(st.sampled_from(["a", "b", UID]), st.text(max_size=200))
MODES = st.sampled_from(["canary", "abTest", "shadow"])
COUNTS = st.fixed_dictionaries(dict.fromkeys(("requests", "errors", "slow", "over"), NUMBERS))
EPOCHS = st.fixed_dictionaries(
    {"epoch": NUMBERS, "rollout": st.one_of(st.just(CANDIDATE), NUMBERS), "mode": MODES, "share": SHARES},
    optional={
        **dict.fromkeys(("stable", "candidate", "mirrored"), COUNTS),
        **dict.fromkeys(("compared", "disagreed"), NUMBERS),
        "baking": st.booleans(),
    },
)
UNITS = st.fixed_dictionaries(
    {"epoch": NUMBERS, "unit": TEXTS, "candidate": st.booleans(), "kind": st.sampled_from(["error", "slow"])}
)
SECONDS = st.one_of(st.lists(NUMBERS, max_size=5), st.lists(NUMBERS, min_size=1, max_size=1).map(lambda one: one * 145))
REPORTS = st.fixed_dictionaries(
    {"uid": st.just(UID), "boot": TEXTS, "version": st.sampled_from([STABLE, CANDIDATE, 9])},
    optional={
        "epoch": NUMBERS,
        "breaker_open": st.booleans(),
        "epochs": st.lists(EPOCHS, max_size=40),
        "seconds": SECONDS,
        "units": st.lists(UNITS, max_size=10),
    },
)
ANALYSES = st.fixed_dictionaries(
    {},
    optional={
        "alpha": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "min_requests": SMALL,
        "max_error_rate": SHARES,
        "min_agreement": SHARES,
        "max_p99_seconds": st.floats(0, exclude_min=True, allow_infinity=False),
        "errors_not_worse": st.booleans(),
        "latency_not_worse": st.booleans(),
    },
)
ROUTES = st.fixed_dictionaries(
    {
        "uid": st.just(UID),
        "epoch": SMALL,
        "stable": st.sampled_from([0, STABLE, STABLE, STABLE]),
        "candidate": st.sampled_from([CANDIDATE, CANDIDATE, 4]),
        "share": SHARES,
        "mode": MODES,
        "analysis": ANALYSES,
    },
    optional={"baking": st.booleans(), "mirror": SHARES, "salt": TEXTS},
)
DONE = st.lists(
    st.one_of(
        st.tuples(st.just("report"), REPORTS),
        st.tuples(st.just("route"), ROUTES),
        st.tuples(st.sampled_from(["restart", "minutes"]), st.none()),
    ),
    max_size=15,
)


@given(first=ROUTES, done=DONE)
def test_the_judge_replies_and_writes_what_others_can_read(first: Any, done: list[tuple[str, Any]]) -> None:
    judge, now = Judge("pod"), 0.0
    data = {wire.KEY_ROUTE: wire.Route.model_validate(first).model_dump_json()}
    judge.read(data, now)
    for what, told in done:
        now += 100.0 if what == "minutes" else 1.0
        if what == "report":
            reply = wire.Reply.model_validate_json(judge.take(wire.Report.model_validate(told), now))
            assert reply.route is not None
            assert reply.route.share in (0.0, judge.route.share if judge.route else None)
        elif what == "route":
            data[wire.KEY_ROUTE] = wire.Route.model_validate(told).model_dump_json()
        else:
            judge = Judge("pod")
        judge.read(data, now)
        due = judge.due(now)
        data |= due
        if due:
            judge.wrote(now)
            verdict = wire.Verdict.model_validate_json(due[wire.KEY_VERDICT])
            assert verdict.rollout == (judge.route.candidate if judge.route else None)
            assert f'"uid":"{UID}"' in due[wire.KEY_VERDICT], "the admission policy asks for it"
            assert len(due[wire.KEY_VERDICT].encode()) <= wire.VERDICT_MAX_BYTES
            assert len(due[wire.KEY_MEMORY].encode()) <= wire.MEMORY_MAX_BYTES
