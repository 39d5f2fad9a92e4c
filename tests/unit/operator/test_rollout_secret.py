"""The Secret that a rollout's judge and servers know each other by comes back where somebody deletes it."""

from __future__ import annotations

from headway_operator.engine import kube
from headway_operator.serving import names
from serving_fleet import report

from .rollout_course import CANARY
from .serving_stage import DIGEST_2, Stage


def rolling() -> tuple[Stage, str]:
    """A second version is on its way, whose judge is not ready yet; and the Secret's name."""
    stage = Stage({"spec.rollout": CANARY})
    stage.settle()
    stage.ready(1)
    stage.settle()
    stage.edit({"versions.source.digest": DIGEST_2})
    stage.settle()
    name = names.judge_name("digits", stage.uid)
    assert name in stage.of(kube.DEPLOYMENTS)
    assert name in stage.of(kube.SECRETS)
    return stage, name


def test_a_secret_that_is_gone_while_the_judge_waits_for_it_is_made_again() -> None:
    stage, name = rolling()
    stage.server.remove(kube.SECRETS, name)
    stage.after(30)
    assert name in stage.of(kube.SECRETS)


def test_a_secret_that_is_there_stays_and_is_looked_for_only_while_the_judge_is_not_ready() -> None:
    stage, name = rolling()
    before = stage.server.find(kube.SECRETS, name)
    stage.after(30)
    assert stage.server.find(kube.SECRETS, name) == before
    report(stage.server, name)
    stage.settle()
    stage.server.remove(kube.SECRETS, name)
    stage.after(30)
    assert name not in stage.of(kube.SECRETS), "who mounts it has it; it is needed when a pod starts"
    report(stage.server, name, 0)
    stage.after(30)
    assert name in stage.of(kube.SECRETS)


def test_the_secret_is_one_that_nodes_learn_of_again() -> None:
    stage, name = rolling()
    body = stage.server.find(kube.SECRETS, name)
    assert body is not None
    assert "immutable" not in body
