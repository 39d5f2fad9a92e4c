"""Whole rollouts by numbers: servers count, some end, the judge is killed, and a verdict is asked for all the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from headway_api import rollout_wire as wire
from headway_server.judge import memory
from headway_server.judge.evidence import WORSE
from headway_server.judge.findings import verdict
from headway_server.judge.gates import Counts
from headway_server.judge.tally import Tally
from rollouts import ALL_FAST, CANDIDATE, STABLE, Server, counts, report, route

SHARES = (0.05, 0.25, 0.5, 1.0)
SERVERS = 2


@dataclass(frozen=True)
class Rates:
    """Of a version's requests."""

    errors: float
    slow: float = 0.01


class Rollout:
    """One, second by second."""

    def __init__(self, rng: np.random.Generator, stable: Rates, candidate: Rates, analysis: wire.Analysis) -> None:
        self.rng, self.rates, self.analysis = rng, {"stable": stable, "candidate": candidate}, analysis
        self.servers = [Server(f"boot-{index}") for index in range(SERVERS)]
        self.now = 0.0
        self.tally = Tally(self.route(1))
        self.requests = 0
        """The candidate's."""

    def route(self, epoch: int) -> wire.Route:
        return route(epoch, SHARES[epoch - 1], analysis=self.analysis)

    def second(self, epoch: int, requests: int) -> wire.Verdict:
        """So many requests for each server."""
        self.now += 1.0
        share = SHARES[epoch - 1]
        for server in self.servers:
            its = int(self.rng.binomial(requests, share))
            self.requests += its
            more = {"stable": self._counts("stable", requests - its), "candidate": self._counts("candidate", its)}
            server.count(epoch, share, more)
            self.tally.report(server.report().model_copy(update={"seconds": ALL_FAST}), self.now)
        return verdict(self.tally, None, self.now)

    def _counts(self, which: str, requests: int) -> Counts:
        rates = self.rates[which]
        return Counts(requests, *(int(self.rng.binomial(requests, rate)) for rate in (rates.errors, rates.slow)))

    def disturb(self, second: int) -> None:
        """Now and then a server begins anew, and the judge is killed."""
        if second % 7 == 3:
            self.servers[second % SERVERS] = Server(f"boot-{second}-{self.now}")
        if second % 5 == 4:
            self.tally, _ = memory.load(memory.dump(self.tally, None, self.now), self.tally.route, self.now)

    def failed(self, *, seconds: int, requests: int) -> float:
        """The candidate's requests when it failed, or infinity: through all steps, of so many seconds each."""
        for epoch in range(1, len(SHARES) + 1):
            self.tally.follow(self.route(epoch))
            for second in range(seconds):
                if self.second(epoch, requests).verdict == "fail":
                    return self.requests
                self.disturb(second)
        return math.inf


def rollouts(count: int, stable: Rates, candidate: Rates, *, seconds: int, requests: int, seed: int) -> Sequence[float]:
    """When each of so many failed."""
    analysis = wire.Analysis(max_error_rate=0.01, errors_not_worse=True, latency_not_worse=True)
    rng = np.random.default_rng(seed)
    return [Rollout(rng, stable, candidate, analysis).failed(seconds=seconds, requests=requests) for _ in range(count)]


def test_of_200_rollouts_of_candidates_that_are_as_good_as_allowed_at_most_one_in_twenty_fails() -> None:
    as_bad_as_allowed = Rates(0.01)
    found = rollouts(200, as_bad_as_allowed, as_bad_as_allowed, seconds=10, requests=1000, seed=1)
    assert np.isfinite(found).mean() <= 0.05


@dataclass(frozen=True)
class Many:
    """Rollouts that are computed at once: by the events' likelihoods, not by the judge's code."""

    failed: npt.NDArray[np.float64]
    """The candidate's requests when each failed, or infinity."""
    evidence: dict[str, npt.NDArray[np.float64]]
    """Log E of each gate at the end."""
    counts: npt.NDArray[np.int64]
    """Of each rollout, epoch, version (stable, candidate): requests, errors, slow answers."""


def many(count: int, stable: Rates, candidate: Rates, *, seconds: int, requests: int, seed: int) -> Many:
    """So many, with all gates of `rollouts`."""
    rng = np.random.default_rng(seed)
    ratios, limit = np.array(WORSE), 0.01
    totals = np.zeros((count, len(SHARES), 2, 3), np.int64)
    failed = np.full(count, np.inf)
    logs = {
        name: np.zeros((count, len(ratios))) for name in ("errors", "errors against stable", "latency against stable")
    }
    for epoch, share in enumerate(SHARES):
        owner = ratios * share / (1 - share + ratios * share)
        mine, theirs = np.log(owner / share), np.log((1 - owner) / (1 - share)) if share < 1 else np.zeros(len(ratios))
        odds = ratios * limit / (1 - limit)
        broken = odds / (1 + odds)
        for _ in range(seconds):
            its = rng.binomial(SERVERS * requests, share, count)
            other = SERVERS * requests - its
            new = np.zeros((count, 2, 3), np.int64)
            for side, (rates, number) in enumerate(((stable, other), (candidate, its))):
                new[:, side, 0] = number
                new[:, side, 1] = rng.binomial(number, rates.errors)
                new[:, side, 2] = rng.binomial(number, rates.slow)
            totals[:, epoch] += new
            for name, index in (("errors against stable", 1), ("latency against stable", 2)):
                logs[name] += new[:, 1, index, None] * mine + new[:, 0, index, None] * theirs
            good = new[:, 1, 0] - new[:, 1, 1]
            logs["errors"] += new[:, 1, 1, None] * np.log(broken / limit)
            logs["errors"] += good[:, None] * np.log((1 - broken) / (1 - limit))
            found = {name: np.logaddexp.reduce(each, -1) - math.log(len(ratios)) for name, each in logs.items()}
            enough = np.max(list(found.values()), axis=0) >= math.log(len(logs) / 0.05)
            seen = totals[:, :, 1, 0].sum(1)
            failed = np.where(np.isinf(failed) & enough, seen, failed)
    return Many(failed, found, totals)


@pytest.mark.parametrize("rate", [0.001, 0.01])
def test_of_10_000_rollouts_of_candidates_that_are_as_good_as_allowed_at_most_one_in_twenty_fails(rate: float) -> None:
    found = many(10_000, Rates(rate), Rates(rate), seconds=10, requests=1000, seed=2)
    assert 0.001 < np.isfinite(found.failed).mean() <= 0.05


def test_what_is_computed_at_once_is_what_the_judge_finds() -> None:
    found = many(20, Rates(0.01), Rates(0.012), seconds=10, requests=1000, seed=4)
    for index in range(20):
        server = Server("one")
        tally = Tally(route(len(SHARES), SHARES[-1], analysis=wire.Analysis(max_error_rate=0.01)))
        for epoch, share in enumerate(SHARES, 1):
            sides = {
                which: Counts(*map(int, found.counts[index, epoch - 1, side]))
                for side, which in enumerate(("stable", "candidate"))
            }
            server.count(epoch, share, sides)
        tally.report(server.report(), 0.0)
        gates = {gate.name: gate.evidence for gate in verdict(tally, None, 0.0).gates}
        assert set(gates) == set(found.evidence)
        for name, evidence in gates.items():
            assert evidence == pytest.approx(math.exp(found.evidence[name][index]), rel=1e-3)


@pytest.mark.parametrize(
    ("stable", "candidate", "most"),
    [
        # The candidate's requests that half of the rollouts take: a fifth more than one gate by itself, of three.
        (Rates(0.001), Rates(0.01), 500),
        (Rates(0.001), Rates(0.05), 80),
        (Rates(0.001), Rates(0.2), 40),
        (Rates(0.001, 0.01), Rates(0.001, 0.1), 60),
    ],
)
def test_a_candidate_that_is_ten_times_worse_fails_within_the_first_steps(
    stable: Rates, candidate: Rates, most: int
) -> None:
    found = rollouts(20, stable, candidate, seconds=200, requests=50, seed=3)
    assert np.isfinite(found).all()
    assert np.median(found) <= most
    assert np.quantile(found, 0.9) <= 3 * most


def by_gateway(rng: np.random.Generator, real: float, rates: Mapping[str, Rates], *, looks: int) -> bool:
    """Whether the candidate of a canary at 5 % ever fails, where a gateway gives it `real` of the requests, and each
    version's servers count their own."""
    tally = Tally(route(1, SHARES[0], gateway=True))
    versions = {"stable": STABLE, "candidate": CANDIDATE}
    totals = dict.fromkeys(versions, Counts())
    for second in range(looks):
        its = int(rng.binomial(200, real))
        for which, number in (("stable", 200 - its), ("candidate", its)):
            events = (int(rng.binomial(number, rate)) for rate in (rates[which].errors, rates[which].slow))
            more, before = (number, *events), totals[which]
            totals[which] = Counts(*map(sum, zip((before.requests, before.errors, before.slow), more, strict=True)))
            told = counts(1, SHARES[0], gateway=True, **{which: totals[which]})
            said = report(told, boot=which, version=versions[which], gateway=True, seconds=ALL_FAST)
            tally.report(said, float(second))
        if verdict(tally, None, float(second)).verdict == "fail":
            return True
    return False


@pytest.mark.parametrize("real", [0.01, 0.05, 0.07, 0.5, 0.95])
def test_a_gateway_that_does_not_keep_to_its_weights_has_no_good_version_rejected(real: float) -> None:
    rng = np.random.default_rng(11)
    good = {"stable": Rates(0.02), "candidate": Rates(0.02)}
    failed = sum(by_gateway(rng, real, good, looks=25) for _ in range(60))
    assert failed <= 0.05 * 60


@pytest.mark.parametrize("real", [0.05, 0.5])
def test_and_a_bad_one_is_found_all_the_same(real: float) -> None:
    rng = np.random.default_rng(12)
    bad = {"stable": Rates(0.002), "candidate": Rates(0.1)}
    assert all(by_gateway(rng, real, bad, looks=60) for _ in range(10))
