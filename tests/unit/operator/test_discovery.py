"""Whether a kind is served is asked at the start and now and then, and a failure to ask changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from headway_operator.engine import kube
from headway_operator.engine.discovery import Served
from headway_operator.engine.kube import Resource, RetryableError


class Answers:
    """Answers one after the other; None: it does not answer."""

    def __init__(self, *answers: bool | None) -> None:
        self._answers = list(answers)

    @property
    def left(self) -> int:
        return len(self._answers)

    async def serves(self, resource: Resource) -> bool:
        assert resource == kube.POD_GROUPS
        answer = self._answers.pop(0)
        if answer is None:
            raise RetryableError("the API server did not answer")
        return answer


def test_what_was_last_known_holds_until_there_is_another_answer() -> None:
    served = Served(Answers(None, True, None, False), kube.POD_GROUPS)
    known = [served()]
    for _ in range(4):
        asyncio.run(served.ask())
        known.append(served())
    assert known == [False, False, True, True, False]


def test_it_is_asked_again_and_again() -> None:
    served = Served(Answers(False, False, True), kube.POD_GROUPS)
    with pytest.raises(IndexError):
        asyncio.run(served.run(0))
    assert served()


def test_a_change_of_the_answer_is_waited_for_and_a_failure_to_ask_is_none() -> None:
    answers = Answers(True, None, True, False)
    served = Served(answers, kube.POD_GROUPS)
    asyncio.run(served.ask())
    asyncio.run(served.change(0))
    assert not served()
    assert answers.left == 0
