"""Training that stands still is ended, and who stands still is named."""

from __future__ import annotations

import sysconfig
import threading
import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from headway_trainer.outcome import Hang, judge
from headway_trainer.ray import stacks
from headway_trainer.ray.stacks import Standing, sentence
from headway_trainer.ray.watchdog import LiveWorkers, Watchdog, stacks_text

AT_USERS = Standing("mine.py:7 in fit", waiting=False, trace="  mine.py line 7\n")
AT_BARRIER = Standing("mine.py:9 in fit", waiting=True, trace="  mine.py line 9\n")
IN_REPORT = Standing("mine.py:14 in fit", waiting=True, trace="  in report\n", reports=True)
NAMES = {rank: f"pod-{rank}, pid 1" for rank in range(9)}


class Workers(LiveWorkers):
    """Workers that answer at once."""

    def __init__(self, *found: Standing | None) -> None:
        super().__init__()
        self.found = dict(enumerate(found))

    def begin(self) -> None:
        metadata = SimpleNamespace(hostname="pod", pid=1)
        group = SimpleNamespace(get_workers=lambda: [SimpleNamespace(metadata=metadata) for _ in self.found])
        self.after_worker_group_start(group)

    def standings(self) -> dict[int, Standing | None]:
        return self.found


class Scene:
    """A watchdog with a limit of 100 seconds, and 50 more while workers come together."""

    def __init__(self, *, from_first_sign: bool = False) -> None:
        self.now = 0.0
        self.live = Workers(AT_BARRIER, AT_USERS)
        self.dog = Watchdog(
            self.live, seconds=100, forming_seconds=50, from_first_sign=from_first_sign, clock=lambda: self.now
        )

    def wait(self, seconds: int, sign: object = 0, **looks: Any) -> None:
        for _ in range(seconds):
            self.now += 1
            self.dog.check(sign, step=3, **looks)


def test_no_step_for_too_long_is_a_hang_that_names_rank_place_and_step() -> None:
    scene = Scene()
    scene.live.begin()
    with pytest.raises(Hang, match=r"no step for 100 seconds after step 3: rank 1 \(pod, pid 1\) stands at mine.py:7"):
        scene.wait(200)
    assert scene.now == 101
    verdict = judge(Hang("x"))
    assert (verdict.cause, verdict.exit_code) == ("Hang", 70)


def test_steps_reports_and_new_groups_of_workers_set_the_clock_back() -> None:
    scene = Scene()
    scene.live.begin()
    for sign in range(5):
        scene.wait(90, sign)
        scene.live._set(scene.live.workers)
        scene.wait(90, sign)
    assert scene.now == 900


def test_an_evaluation_may_take_as_long_as_it_wants() -> None:
    scene = Scene()
    scene.live.begin()
    scene.wait(1000, untimed=True)
    with pytest.raises(Hang):
        scene.wait(101)


def test_a_function_of_ones_own_is_watched_from_its_first_report_on_in_each_group() -> None:
    scene = Scene(from_first_sign=True)
    scene.live.begin()
    scene.wait(1000, sign=(0, None))
    scene.wait(99, sign=(1, None))
    scene.live.begin()
    scene.wait(1000, sign=(1, None))
    with pytest.raises(Hang):
        scene.wait(200, sign=(2, None))


@pytest.mark.parametrize("from_first_sign", [False, True])
def test_workers_that_never_come_together_are_a_hang_later(from_first_sign: bool) -> None:
    scene = Scene(from_first_sign=from_first_sign)
    scene.wait(150)
    with pytest.raises(Hang, match="no group of workers came together"):
        scene.wait(1)


def test_time_in_which_the_driver_itself_slept_does_not_count() -> None:
    scene = Scene()
    scene.live.begin()
    scene.wait(50)
    scene.now += 5000
    scene.wait(50)
    with pytest.raises(Hang):
        scene.wait(2)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({0: AT_BARRIER, 1: None}, "rank 1 (pod-1, pid 1) did not answer: a process that is frozen, or native code"),
        ({0: AT_BARRIER, 1: AT_USERS}, "rank 1 (pod-1, pid 1) stands at mine.py:7 in fit, and the others wait for it"),
        ({0: AT_USERS}, "rank 0 (pod-0, pid 1) stands at mine.py:7 in fit"),
        ({0: AT_BARRIER, 1: AT_BARRIER}, "all ranks wait for each other: rank 0 (pod-0, pid 1) at mine.py:9 in fit"),
        (
            {0: IN_REPORT, 1: AT_BARRIER},
            "ranks wait for each other: rank 0 (pod-0, pid 1) at mine.py:14 in fit, in ray.train.report, "
            "rank 1 (pod-1, pid 1) at mine.py:9 in fit; "
            "ray.train.report returns once every rank has called it: call it on every rank",
        ),
        ({0: IN_REPORT, 1: IN_REPORT}, "all ranks wait for each other"),
        (dict.fromkeys(range(9)), "rank 3 (pod-3, pid 1), and 5 more did not answer"),
    ],
)
def test_the_rank_that_the_others_wait_for_is_the_one_to_look_at(found: dict[int, Standing | None], said: str) -> None:
    assert said in sentence(found, NAMES)


def test_a_stack_is_told_by_the_users_line_and_whether_it_waits_for_others() -> None:
    def frame(name: str, line: int, function: str) -> traceback.FrameSummary:
        return traceback.FrameSummary(name, line, function, lookup_line=False, line="")

    torchs = f"{sysconfig.get_path('purelib')}/torch/distributed/distributed_c10d.py"
    own = [frame("/usr/lib/python3/threading.py", 1, "run"), frame("/code/train.py", 17, "fit")]
    alone = stacks.judged(traceback.StackSummary.from_list(own))
    assert (alone.place, alone.waiting) == ("train.py:17 in fit", False)
    assert "threading.py" not in alone.trace
    waits = stacks.judged(traceback.StackSummary.from_list([*own, frame(torchs, 5, "all_reduce")]))
    assert (waits.place, waits.waiting) == ("train.py:17 in fit", True)
    rays = f"{sysconfig.get_path('purelib')}/ray/train/v2/api/train_fn_utils.py"
    for name, waiting in ("get_context", False), ("report", True):
        assert stacks.judged(traceback.StackSummary.from_list([*own, frame(rays, 5, name)])).waiting is waiting
    assert stacks.judged(traceback.StackSummary.from_list([*own, frame(rays, 5, "report")])).reports
    assert not waits.reports
    wrapper = frame(f"{sysconfig.get_path('purelib')}/torch/nn/parallel/distributed.py", 5, "_pre_forward")
    assert stacks.judged(traceback.StackSummary.from_list([*own, wrapper])).waiting, "it averages with the others"
    module = frame(f"{sysconfig.get_path('purelib')}/torch/nn/modules/linear.py", 5, "forward")
    assert not stacks.judged(traceback.StackSummary.from_list([*own, wrapper, module])).waiting, "it computes"
    ours = stacks.judged(
        traceback.StackSummary.from_list([frame(stacks.__file__, 9, "_step"), frame("/x", 1, "_engine_run_backward")])
    )
    assert ours.waiting


def test_a_process_tells_where_its_training_thread_stands(capfd: pytest.CaptureFixture[str]) -> None:
    ended, standing_there = threading.Event(), threading.Event()

    def fit() -> None:
        standing_there.set()
        ended.wait()

    thread = threading.Thread(target=fit, name="TrainingThread(fit)")
    thread.start()
    standing_there.wait()
    found = stacks.standing()
    ended.set()
    thread.join()
    assert found.place.startswith("test_watchdog.py:")
    assert found.place.endswith("in fit")
    assert not found.waiting
    assert "in fit" in capfd.readouterr().err


def test_equal_stacks_are_shown_once() -> None:
    text = stacks_text({0: AT_BARRIER, 1: AT_USERS, 2: AT_BARRIER, 3: None})
    assert text == "rank 0, 2:\n  mine.py line 9\nrank 1:\n  mine.py line 7\nrank 3:\n  no answer\n"
