"""What Headway adds to a user's own Tuner: whom it tells of trials, and which trials it refuses."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from ray import cloudpickle
from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial

from headway_trainer.errors import UserError
from headway_trainer.ray import tuner_callback
from headway_trainer.ray.tuner_callback import Teller, Telling, cannot_begin
from headway_trainer.tuning.own_messages import Plan, TrialTold


@pytest.fixture
def said() -> Iterator[list[BaseModel]]:
    """What is told in a process that has entered."""
    told: list[BaseModel] = []
    tuner_callback.enter(Telling(told.append, threading.Event(), Plan(metric="loss", mode="min", search="Random")))
    yield told
    tuner_callback._of_this_process.clear()


def here() -> Telling:
    """What the process knows."""
    return tuner_callback._of_this_process[0]


def trial(name: str, status: str = Trial.RUNNING, *, until: int = 9, **config: Any) -> Any:
    """What the callback sees of a trial, whose own end is at so many reports."""
    return SimpleNamespace(
        trial_id=name,
        status=status,
        config=config,
        last_result={},
        placement_group_factory=PlacementGroupFactory([{"CPU": 1.0}]),
        should_stop=lambda result: result["training_iteration"] >= until,
        pickled_error_file=None,
        error_file=None,
    )


def last(said: list[BaseModel]) -> TrialTold:
    """The newest message of a trial."""
    assert isinstance(said[-1], TrialTold)
    return said[-1]


def report(one: Any, trials: list[Any], epoch: int, loss: float, *, done: bool = False) -> None:
    """Let a trial report, as Ray Tune does."""
    result = {"loss": loss, "training_iteration": epoch, "time_total_s": epoch / 2, "done": done, "pid": 4}
    Teller().on_trial_result(1, trials, one, result)
    one.last_result = result


def test_trials_are_numbered_in_the_order_in_which_they_came_to_be_whichever_begins_first(said: list[Any]) -> None:
    trials = [trial(name) for name in "abc"]
    for name in (2, 0, 1):
        Teller().on_trial_start(1, trials, trials[name])
    assert [one.number for one in said] == [3, 1, 2]


def test_a_report_tells_its_value_the_best_so_far_and_the_users_numbers(said: list[Any]) -> None:
    one = trial("a", lr=0.5)
    report(one, [one], 1, 0.3)
    report(one, [one], 2, 0.7)
    told = last(said)
    assert told.report is not None
    assert (told.report.epoch, told.report.value, told.report.goes_on) == (2, 0.7, True)
    assert (told.value, told.epochs, told.seconds, told.reported) == (0.3, 2, 1.0, {"loss": 0.7})
    assert told.parameters == {"lr": 0.5}


@pytest.mark.parametrize(
    ("until", "most", "state"),
    [(3, None, "completed"), (9, None, "stopped"), (9, ("training_iteration", 3.0), "completed")],
)
def test_a_trial_that_was_told_to_end_before_its_own_end_is_stopped(
    said: list[Any], until: int, most: Any, state: str
) -> None:
    here().most = most
    one = trial("a", until=until)
    report(one, [one], 3, 0.3, done=True)
    one.status = Trial.TERMINATED
    Teller().on_trial_complete(1, [one], one)
    assert last(said).state == state


def test_a_function_that_returns_has_completed_its_trial(said: list[Any]) -> None:
    one = trial("a")
    report(one, [one], 1, 0.3)
    one.last_result["done"] = True  # as Ray Tune notes it then, without a call
    Teller().on_trial_complete(1, [one], one)
    assert last(said).state == "completed"


def test_trials_that_are_paused_or_ended_without_a_call_are_looked_after(said: list[Any]) -> None:
    one, other = trial("a"), trial("b")
    trials = [one, other]
    for each in trials:
        Teller().on_trial_start(1, trials, each)
    one.status = Trial.PAUSED
    tuner_callback._look(here(), trials)
    assert (last(said).number, last(said).state) == (1, "waiting")
    one.status = Trial.RUNNING
    tuner_callback._look(here(), trials)
    assert last(said).state == "running"
    count = len(said)
    tuner_callback._look(here(), trials)
    assert len(said) == count, "nothing has changed"
    other.status = Trial.TERMINATED
    Teller().on_experiment_end(trials)
    assert (last(said).number, last(said).state) == (2, "stopped"), "it was ended with the experiment"


def test_a_trial_that_has_not_begun_is_not_told_of_and_one_that_an_attempt_before_began_is(said: list[Any]) -> None:
    one, other = trial("a", Trial.PENDING), trial("b", Trial.PENDING)
    one.last_result = {"trial_id": "a"}  # as Ray Tune fills it in
    other.last_result = {"trial_id": "b", "training_iteration": 2}
    tuner_callback._look(here(), [one, other])
    assert [(told.number, told.state, told.epochs) for told in said] == [(2, "waiting", 2)]


def test_the_next_attempt_knows_numbers_causes_and_what_was_stopped(said: list[Any]) -> None:
    one, other, third = trial("a"), trial("b"), trial("c")
    report(one, [one, other, third], 1, 0.3, done=True)
    report(other, [one, other, third], 1, 0.1)
    third.status = Trial.ERROR
    Teller().on_trial_error(1, [one, other, third], third)
    state = pickle.loads(pickle.dumps(Teller().get_state()))  # noqa: S301 - our own
    tuner_callback.enter(Telling(said.append, threading.Event(), here().plan))
    Teller().set_state(state)
    one.status = other.status = Trial.TERMINATED
    said.clear()
    tuner_callback._look(here(), [third, other, one])  # Ray restores them in another order
    assert [(told.number, told.state, told.value) for told in said] == [
        (3, "failed", None),
        (2, "completed", 0.1),
        (1, "stopped", 0.3),
    ]
    assert (said[0].cause, said[0].message) == ("Error", "it has told no cause")


def test_the_cause_of_a_failure_is_what_the_trial_has_raised(said: list[Any], tmp_path: Any) -> None:
    one = trial("a")
    one.pickled_error_file = str(tmp_path / "error.pkl")
    (tmp_path / "error.pkl").write_bytes(cloudpickle.dumps(ValueError("no\nsuch rate")))
    Teller().on_trial_error(1, [one], one)
    assert (last(said).cause, last(said).message) == ("ValueError", "ValueError: no")
    other = trial("b")
    other.error_file = str(tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text("Failure # 1\nsomething: odd\n\n")
    Teller().on_trial_error(1, [one, other], other)
    assert (last(said).cause, last(said).message) == ("Error", "something: odd")


def test_the_callback_is_pickled_without_what_it_works_with_and_silent_elsewhere(said: list[Any]) -> None:
    other = pickle.loads(pickle.dumps(Teller()))  # noqa: S301 - our own
    assert vars(other) == {}
    tuner_callback._of_this_process.clear()
    one = trial("a")
    other.on_trial_start(1, [one], one)
    assert other.get_state() is None
    assert said == []


@pytest.mark.parametrize(("total", "planned"), [(8, 8), (10**9, None), (None, None), (0, None)])
def test_the_plan_says_how_many_trials_there_are_where_that_is_known(
    said: list[Any], total: Any, planned: int | None
) -> None:
    Teller().setup(total_num_samples=total)
    assert said[-1].planned == planned


@pytest.mark.usefixtures("said")
def test_a_trial_that_could_never_begin_is_refused() -> None:
    here().nodes = [{"CPU": 1.0}, {"CPU": 1.0}]
    one = trial("a", Trial.PENDING)
    tuner_callback._look(here(), [one])
    one.placement_group_factory = PlacementGroupFactory([{"CPU": 4.0}])
    with pytest.raises(UserError, match="a trial asks for 4 CPU, and the 2 nodes of the workers have 2 CPU together"):
        tuner_callback._look(here(), [one])


def test_more_trials_than_a_status_counts_are_refused(said: list[Any]) -> None:
    here().numbers = {str(number): number for number in range(1, 10_001)}
    one = trial("new")
    with pytest.raises(UserError, match="more than 10000 trials: lower num_samples"):
        Teller().on_trial_start(1, [one], one)
    assert said == []


TWO = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}]


@pytest.mark.parametrize(
    ("bundles", "fits"),
    [
        ([{"CPU": 1.0}], True),
        ([{"CPU": 2.0}, {"CPU": 2.0}], True),
        ([{"CPU": 2.0}, {"CPU": 2.0}, {"CPU": 1.0}], False),
        ([{"CPU": 3.0}], False),
        ([{"CPU": 1.0, "GPU": 1.0}], True),
        ([{"GPU": 2.0}], False),
        ([{"GPU": 0.5}, {"CPU": 0.5}], True),
        ([{"TPU": 1.0}], False),
        ([{"CPU": 1.0, "TPU": 0.0}], True),
        ([{}], True),
    ],
)
def test_a_trial_may_begin_where_each_bundle_has_a_node_and_all_have_room(
    bundles: list[dict[str, float]], fits: bool
) -> None:
    assert (cannot_begin(bundles, TWO) is None) == fits
