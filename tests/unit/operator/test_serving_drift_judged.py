"""The operator and the judge of a deployment, by the ConfigMap that they share: what is asked for is what is told."""

from __future__ import annotations

from headway_api.drift_wire import KEY_DRIFT, Batch, FeatureCounts, WatchedFeature, WatchedReference
from headway_operator.serving.plan.drift import TURN_SECONDS
from headway_server.judge.drift.drifts import Drifts

from .serving_stage import DIGEST_2
from .test_serving_drift import SOURCE, Watched

CELLS = 10
TRAINED = WatchedReference(
    features=[
        WatchedFeature(name="age", kind="numbers", cells=[1000] * CELLS),
        WatchedFeature(name="fare", kind="numbers", cells=[1000] * CELLS),
    ]
)
ROWS = 1000
LIKE = FeatureCounts(cells=[ROWS // CELLS] * CELLS)
UNLIKE = FeatureCounts(cells=[0, 0, 0, 0, 0, 200, 200, 200, 200, 200])
MISSING = FeatureCounts(cells=[50] * CELLS, missing=500)


class Judged(Watched):
    """With a judge, to which a server of the version that answers sends what it has counted."""

    def __init__(self) -> None:
        super().__init__(window={"rows": ROWS})
        self.judge = Drifts(wall=lambda: self.stage.now)
        self.number = 0

    def begins_again(self) -> None:
        """Another process of the judge, which knows what the ConfigMap knows."""
        self.judge = Drifts(wall=lambda: self.stage.now)

    def counts(self, age: FeatureCounts, fare: FeatureCounts = LIKE, *, windows: int = 1, version: int = 1) -> None:
        """So many windows of such rows; the judge writes what is due, and the operator sees it."""
        for _ in range(windows):
            self.judge.read(self.data)
            self.number += 1
            batch = Batch(
                uid=self.stage.uid, boot=f"server {version}", version=version, number=self.number,
                digest=TRAINED.digest, rows=ROWS, counts=[age, fare],
            )  # fmt: skip
            reply = self.judge.take(batch, self.stage.now)
            if reply.reference:
                first = batch.model_copy(update={"number": 0, "rows": 0, "counts": [], "reference": TRAINED})
                self.judge.take(first, self.stage.now)
            if reply.judge:
                batch = batch.model_copy(update={"judge": reply.judge})
                reply = self.judge.take(batch, self.stage.now)
            assert reply.taken == self.number
            self.tells()

    def tells(self) -> None:
        """The judge writes what is due; then some time passes."""
        for text in (due.get(KEY_DRIFT) for due in (self.judge.due("judge-1", self.stage.now),)):
            if text is not None:
                self.writes(text)
                self.judge.wrote(self.stage.now)
        self.stage.after(TURN_SECONDS)


def test_what_servers_count_comes_to_the_status_by_way_of_the_judge() -> None:
    judged = Judged()
    judged.judge.read(judged.data)
    sampling = judged.judge.sampling
    assert sampling is not None
    assert (sampling.version, sampling.sample) == (1, 0.1)
    judged.tells()
    assert judged.said == ("Unknown", "Insufficient")
    assert "0 rows of the first window have been counted, and it needs 1000" in judged.drift["message"]

    judged.counts(LIKE, windows=3)
    assert judged.said == ("False", "Stable")
    assert (judged.drift["score"], judged.drift["windows"]) == (0.0, 3)

    judged.counts(UNLIKE)
    assert judged.said == ("False", "Stable"), "one window of three is chance"
    assert judged.drift["score"] >= 1
    judged.counts(UNLIKE)
    assert judged.said == ("True", "Drifted")
    assert [each["name"] for each in judged.drift["features"]] == ["age"]
    assert "2 of the last 3 windows alarm" in judged.drift["message"]

    judged.begins_again()
    judged.counts(LIKE)
    assert judged.said == ("True", "Drifted"), "it knows the windows of before"
    judged.counts(LIKE, windows=2)
    assert judged.said == ("False", "Stable")
    assert [each for each in judged.stage.notices if each.startswith("Drift")] == ["Drifted", "DriftEnded"]


def test_values_that_are_missing_are_told_as_such_and_are_no_drift() -> None:
    judged = Judged()
    judged.counts(LIKE, MISSING, windows=3)
    assert judged.said == ("False", "Stable")
    (problem,) = judged.drift["dataQuality"]
    assert problem == {"name": "fare", "problem": "Missing", "share": 0.5, "usual": 0.0}
    assert "fare (missing in 50.0% of the rows, usually 0.0%)" in judged.drift["message"]
    assert judged.drift["message"].startswith(
        "requests are like the rows that version digits-1 was trained on, as far as they can be compared: "
    )


def test_where_all_values_are_wrong_nobody_can_tell_and_a_drift_has_not_ended() -> None:
    judged = Judged()
    judged.counts(UNLIKE, windows=2)
    assert judged.said == ("True", "Drifted")
    judged.counts(MISSING, MISSING, windows=4)
    assert judged.said == ("Unknown", "Unavailable")
    assert judged.drift["message"] == (
        "none of 2 features can be compared: the values of all are wrong in 1000 rows; not compared, for their values: "
        "age (missing in 50.0% of the rows, usually 0.0%), fare (missing in 50.0% of the rows, usually 0.0%)"
    )
    assert "score" not in judged.drift
    assert len(judged.drift["dataQuality"]) == 2
    assert "DriftEnded" not in judged.stage.notices


def test_the_next_version_is_compared_with_its_own_rows() -> None:
    judged = Judged()
    judged.counts(UNLIKE, windows=2)
    assert judged.said == ("True", "Drifted")
    judged.stage.edit({SOURCE.removeprefix("spec."): DIGEST_2})
    judged.stage.settle()
    judged.stage.ready(2)
    judged.stage.settle()
    assert judged.said == ("Unknown", "Starting")
    judged.counts(UNLIKE, windows=2)
    assert judged.said[0] == "Unknown", "what servers of the version of before count is not counted"
    judged.counts(LIKE, version=2)
    assert judged.said == ("False", "Stable")
    assert (judged.drift["version"], judged.drift["windows"]) == ("digits-2", 1)


def test_a_model_without_anything_to_compare_with_is_unavailable_with_the_servers_reason() -> None:
    judged = Judged()
    judged.judge.read(judged.data)
    says = "the model has no reference.json"
    judged.judge.take(Batch(uid=judged.stage.uid, boot="a", version=1, unavailable=says), judged.stage.now)
    judged.tells()
    assert judged.said == ("Unknown", "Unavailable")
    assert judged.drift["message"] == says
