"""Pods that the command makes for a moment: nothing is left of them, whenever Ctrl-C comes."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from headway_cli.cluster.errors import ForbiddenError
from headway_cli.cluster.kubectl import Kubectl, Target
from headway_cli.cluster.made_pods import running
from headway_cli.cluster.profile_pods import ask
from headway_cli.cluster.reader_pods import reader_pod

JOB = {
    "metadata": {"name": "churn", "uid": "u"},
    "spec": {},
    "status": {"storage": {"uri": "s3://a"}, "attempts": [{"number": 1, "image": "trainer:1"}]},
}


class Pressed(Kubectl):
    """A kubectl at whose calls Ctrl-C is pressed."""

    def __init__(self, *at: str) -> None:
        super().__init__(Target())
        self._at, self.done = at, list[str]()

    def run(self, *words: str, **_given: Any) -> str:
        if words[0] in self._at:
            signal.raise_signal(signal.SIGINT)
        self.done.append(words[0])
        return ""

    def start(self, *words: str, **_given: Any) -> Any:
        raise AssertionError(words)

    def stream(self, *words: str, **_given: Any) -> Any:
        raise AssertionError(words)


def read(kubectl: Kubectl) -> None:
    with reader_pod(kubectl, JOB, "s3://a/b"):
        raise AssertionError


def profiled(kubectl: Kubectl) -> None:
    ask(kubectl, {}, "trainer:1", "{}", job="churn")


@pytest.mark.parametrize("use", [read, profiled])
@pytest.mark.parametrize(("pressed", "done"), [("create", []), ("wait", ["create"])])
def test_a_second_ctrl_c_does_not_keep_a_pod_from_being_deleted(use: Any, pressed: str, done: list[str]) -> None:
    kubectl, before = Pressed(pressed, "delete"), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        use(kubectl)
    assert kubectl.done == [*done, "delete"], "also of a pod that may be there, as the answer was not waited for"
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_while_a_pod_is_deleted_after_all_was_read_is_too_late() -> None:
    kubectl = Pressed("delete")
    with running(kubectl, {"metadata": {"name": "x"}}, 1) as name:
        assert name == "x"
    assert kubectl.done == ["create", "wait", "delete"]


def test_sigterm_deletes_the_pod_and_ends_the_command() -> None:
    kubectl, before = Pressed("delete"), signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL, "or this test would end all of them"
    with pytest.raises(SystemExit) as ended, running(kubectl, {"metadata": {"name": "x"}}, 1):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert kubectl.done == ["create", "wait", "delete"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_program_that_has_taken_sigterm_keeps_it() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with running(Pressed(), {"metadata": {"name": "x"}}, 1):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_in_a_thread_signals_stay_as_they_are() -> None:
    kubectl = Pressed()

    def read_there() -> None:
        with running(kubectl, {"metadata": {"name": "x"}}, 1):
            pass

    thread = threading.Thread(target=read_there)
    thread.start()
    thread.join()
    assert kubectl.done == ["create", "wait", "delete"]


class Refusing(Kubectl):
    """A kubectl whose user may not do something."""

    def __init__(self, what: str) -> None:
        super().__init__(Target())
        self._what, self.done = what, list[str]()

    def run(self, *words: str, **_given: Any) -> str:
        self.done.append(words[0])
        if words[0] == self._what:
            raise ForbiddenError(
                'pods "x" is forbidden: User "jane\x1b[2J" cannot delete resource "pods"\nAsk who runs'
            )
        return ""


def test_a_pod_that_may_not_be_deleted_is_named_and_takes_no_answer_away(caplog: pytest.LogCaptureFixture) -> None:
    kubectl, answer = Refusing("delete"), ""
    with running(kubectl, {"metadata": {"name": "x"}}, 1):
        answer = "read"
    assert answer == "read"
    assert 'the pod x was not deleted (pods "x" is forbidden' in caplog.text
    assert "`kubectl delete pod/x` deletes it" in caplog.text
    assert "\x1b" not in caplog.text


def test_of_a_pod_that_may_not_be_made_nothing_is_deleted(caplog: pytest.LogCaptureFixture) -> None:
    kubectl = Refusing("create")
    with pytest.raises(ForbiddenError), running(kubectl, {"metadata": {"name": "x"}}, 1):
        raise AssertionError
    assert kubectl.done == ["create"]
    assert caplog.text == ""
