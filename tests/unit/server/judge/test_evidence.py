"""Evidence: that it cannot be had by looking often, that it finds what is worse, and that it is computed right."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_server.judge.evidence import BETTER, WORSE, Split, evidence_above, evidence_below, split_evidence

ALPHA = 0.05
PROBABILITIES = st.floats(0.001, 0.999)
COUNTS = st.integers(0, 300)


class TestWhatItIs:
    @given(candidate=COUNTS, others=COUNTS, share=PROBABILITIES)
    def test_it_is_expected_to_stay_as_it_is_when_both_versions_have_one_rate(
        self, candidate: int, others: int, share: float
    ) -> None:
        total = candidate + others
        now = split_evidence([Split(share, candidate, total)])
        theirs = split_evidence([Split(share, candidate, total + 1)]) - now
        its = split_evidence([Split(share, candidate + 1, total + 1)]) - now
        assert share * math.exp(its) + (1 - share) * math.exp(theirs) == pytest.approx(1.0, rel=1e-9)

    @given(events=COUNTS, others=COUNTS, limit=PROBABILITIES)
    def test_it_is_expected_to_stay_as_it_is_at_a_limit_both_ways(self, events: int, others: int, limit: float) -> None:
        trials = events + others
        for evidence in (evidence_above, evidence_below):
            now = evidence(events, trials, limit)
            after = evidence(events + 1, trials + 1, limit) - now
            again = evidence(events, trials + 1, limit) - now
            assert limit * math.exp(after) + (1 - limit) * math.exp(again) == pytest.approx(1.0, rel=1e-9)

    @given(first=st.tuples(COUNTS, COUNTS), second=st.tuples(COUNTS, COUNTS), share=PROBABILITIES)
    def test_it_rests_on_totals_alone(self, first: tuple[int, int], second: tuple[int, int], share: float) -> None:
        parts = [Split(share, one, one + other) for one, other in (first, second)]
        whole = Split(share, sum(each.candidate for each in parts), sum(each.total for each in parts))
        assert split_evidence(parts) == pytest.approx(split_evidence([whole]), abs=1e-9)

    def test_it_is_the_mean_of_likelihood_ratios_computed_event_by_event(self) -> None:
        share, mine = 0.1, [True, False, True, True, False, True]
        ratios = []
        for ratio in WORSE:
            candidate = ratio * share / (1 - share + ratio * share)
            ratios.append(math.prod(candidate / share if each else (1 - candidate) / (1 - share) for each in mine))
        assert math.exp(split_evidence([Split(share, 4, 6)])) == pytest.approx(sum(ratios) / len(ratios))

    def test_against_a_limit_it_is_the_mean_of_likelihood_ratios_too(self) -> None:
        for evidence, ratios in ((evidence_above, WORSE), (evidence_below, BETTER)):
            found = []
            for ratio in ratios:
                odds = ratio * 0.02 / 0.98
                p = odds / (1 + odds)
                found.append((p / 0.02) ** 3 * ((1 - p) / 0.98) ** 97)
            assert math.exp(evidence(3, 100, 0.02)) == pytest.approx(sum(found) / len(found))

    @pytest.mark.parametrize("evidence", [split_evidence([]), evidence_above(0, 0, 0.01), evidence_below(0, 0, 0.01)])
    def test_there_is_none_without_data(self, evidence: float) -> None:
        assert evidence == pytest.approx(0.0, abs=1e-12)

    def test_at_a_share_of_all_nothing_can_be_compared(self) -> None:
        assert split_evidence([Split(1.0, 500, 500)]) == pytest.approx(0.0, abs=1e-9)

    def test_limits_at_the_ends_are_proved_or_never(self) -> None:
        assert evidence_above(1, 10_000, 0.0) == math.inf
        assert evidence_above(0, 10_000, 0.0) == evidence_above(10, 10, 1.0) == evidence_below(0, 10, 0.0) == 0.0
        assert evidence_below(9, 10, 1.0) == math.inf
        assert evidence_below(10, 10, 1.0) == 0.0

    def test_a_hundred_million_requests_are_no_overflow(self) -> None:
        assert math.isfinite(split_evidence([Split(1e-4, 10**8, 10**8)]))
        assert math.isfinite(evidence_above(10**8, 10**8, 1e-9))

    @pytest.mark.parametrize(
        "wrong", [Split(0.0, 0, 1), Split(1.1, 0, 1), Split(math.nan, 0, 1), Split(0.5, 2, 1), Split(0.5, -1, 1)]
    )
    def test_counts_that_cannot_be_are_refused(self, wrong: Split) -> None:
        with pytest.raises(ValueError, match=r"share|events"):
            split_evidence([wrong])

    def test_more_events_than_trials_are_refused(self) -> None:
        for evidence in (evidence_above, evidence_below):
            with pytest.raises(ValueError, match="3 events in 2 trials"):
                evidence(3, 2, 0.1)


def log_mixture(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Over the last axis."""
    most = logs.max(-1)
    return np.asarray(most + np.log(np.exp(logs - most[..., None]).mean(-1)))


def rollouts(
    rate: float, candidate_rate: float, share: float, *, count: int, requests: int, every: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Simulated rollouts: for each, how many candidate requests it had when the evidence first sufficed (inf: never),
    its last evidence, and its last counts (of the candidate, of both); looked at once in `every` requests."""
    rng = np.random.default_rng(seed)
    ratios = np.array(WORSE)
    seen = np.zeros(count)
    found = np.full(count, np.inf)
    events = np.zeros((count, 2), dtype=np.int64)
    logs = np.zeros((count, len(ratios)))
    for _ in range(requests // every):
        its = rng.binomial(every, share, count)
        mine, theirs = rng.binomial(its, candidate_rate), rng.binomial(every - its, rate)
        seen += its
        events += np.stack([mine, mine + theirs], -1)
        # By the likelihood of each event's owner, not by the formula of totals.
        owner = ratios * share / (1 - share + ratios * share)
        logs += mine[:, None] * np.log(owner / share) + theirs[:, None] * np.log((1 - owner) / (1 - share))
        found = np.where(np.isinf(found) & (log_mixture(logs) >= math.log(1 / ALPHA)), seen, found)
    return found, log_mixture(logs), events


class TestWhatItDecides:
    @pytest.mark.parametrize(("rate", "share"), [(0.01, 0.1), (0.05, 0.5)])
    def test_a_version_that_is_as_good_is_seldom_rolled_back(self, rate: float, share: float) -> None:
        found, last, events = rollouts(rate, rate, share, count=1000, requests=20_000, every=200, seed=1)
        assert np.isfinite(found).mean() <= ALPHA
        ours = [split_evidence([Split(share, int(its), int(both))]) for its, both in events]
        np.testing.assert_allclose(ours, last, atol=1e-6)

    @pytest.mark.long
    @pytest.mark.parametrize(("rate", "share"), [(0.001, 0.1), (0.001, 0.5), (0.01, 0.05), (0.01, 0.5), (0.05, 0.25)])
    def test_of_10_000_rollouts_of_versions_that_are_as_good_at_most_one_in_twenty_is_rolled_back(
        self, rate: float, share: float
    ) -> None:
        # 200,000 requests each, looked at 1,000 times.
        found, _, _ = rollouts(rate, rate, share, count=10_000, requests=200_000, every=200, seed=1)
        assert np.isfinite(found).mean() <= ALPHA

    @pytest.mark.parametrize(
        ("rate", "candidate", "share", "median"),
        [
            # Stable rate, candidate's, share: the candidate's requests that half of the rollouts need.
            (0.001, 0.01, 0.1, 370),
            (0.001, 0.01, 0.5, 727),
            (0.01, 0.1, 0.1, 37),
            (0.01, 0.1, 0.5, 76),
            (0.01, 0.02, 0.1, 987),
            (0.01, 0.03, 0.1, 280),
        ],
    )
    def test_a_worse_one_is_found_within_the_requests_that_the_table_states(
        self, rate: float, candidate: float, share: float, median: int
    ) -> None:
        requests = int(5 * median / share)
        found, _, _ = rollouts(rate, candidate, share, count=400, requests=requests, every=20, seed=2)
        assert np.median(found) <= 1.15 * median
        assert np.quantile(found, 0.9) <= 3.5 * median

    @pytest.mark.parametrize(
        ("limit", "rate", "median"),
        [(0.01, 0.02, 898), (0.01, 0.05, 90), (0.01, 0.1, 30), (0.1, 0.2, 68), (0.1, 0.3, 21)],
    )
    def test_a_limit_that_is_broken_is_found(self, limit: float, rate: float, median: int) -> None:
        rng = np.random.default_rng(3)
        needed = []
        for _ in range(100):
            events = np.cumsum(rng.random(8000) < rate)
            needed.append(
                next((n for n in range(1, 8001) if evidence_above(int(events[n - 1]), n, limit) >= math.log(20)), 8001)
            )
        assert np.median(needed) <= 1.3 * median

    def test_a_limit_that_is_just_kept_is_seldom_called_broken(self) -> None:
        rng = np.random.default_rng(4)
        looks = np.arange(100, 20_001, 100)
        totals = np.cumsum(rng.binomial(100, 0.01, (400, len(looks))), axis=1)
        alarms = [
            any(evidence_above(int(total), int(at), 0.01) >= math.log(20) for total, at in zip(row, looks, strict=True))
            for row in totals
        ]
        assert np.mean(alarms) <= ALPHA

    @pytest.mark.parametrize(("events", "trials", "limit"), [(0, 380, 0.01), (0, 37, 0.1)])
    def test_so_many_requests_without_an_event_prove_that_a_limit_is_kept(
        self, events: int, trials: int, limit: float
    ) -> None:
        assert evidence_below(events, trials, limit) >= math.log(20)
        assert evidence_below(events, trials // 2, limit) < math.log(20)
