"""A simulated driver, and the storage that all attempts of a job share: what it says and does, as the real one does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_text
from sim.words import twisted, written

if TYPE_CHECKING:
    from sim.kubelet import Container
    from sim.world import World

STEPS = 10
"""Optimiser steps between two words of the driver."""
CHECKPOINT_EVERY = 2
POLL_SECONDS = 1.5
HEARTBEAT_SECONDS = 30.0
LONGEST_STOP_SECONDS = 95.0
"""A little less than the grace of its pod."""
SIGNATURE = "said/by"
"""The metric in all words of a driver that tells the job it runs for."""
EXIT_CODES = {"Succeeded": 0, "UserError": 1, "StorageError": 74, "Internal": 70, "Interrupted": 143}


@dataclass(eq=False)
class Storage:
    """What is durable of a job: the newest checkpoint, the last step that was kept, and who may write."""

    claimed_by: int = 0
    newest: int | None = None
    last_step: int | None = None


@dataclass(eq=False)
class Truth:
    """How an attempt's driver really ended."""

    how: str
    """Succeeded, a cause, Interrupted, OutOfMemory, or Killed."""
    metrics: dict[str, str] | None = None
    told: bool = False
    """Its last word stands in its ConfigMap."""
    trials: int = 0
    """How many trials its run file spoke of."""


class Driver:
    """The head's main process."""

    def __init__(self, world: World, container: Container) -> None:
        self.world = world
        self.container = container
        self.of = container.of
        self.whose = container.whose
        self.storage = world.storages.setdefault(self.whose.job_uid, Storage())
        self.plan = world.plans[self.whose.namespace, self.whose.job]
        self.name = wire.object_name(self.whose.job, self.whose.job_uid, self.whose.attempt)
        """Of the ConfigMap that it was told to speak in."""
        self.wanted, self.trials = self._told()
        self.step = self.storage.newest or 0
        self.resumed_from: int | None = None
        self.steps_lost: int | None = None
        self.reports = self.words = 0
        self.training = False
        self.frozen = False
        """The process stands still, and hears no signal but SIGKILL."""
        self.odd = ""
        """What it says that nobody expects, if anything: a name of sim.words."""
        self.last_word: tuple[str, dict[str, Any]] | None = None
        self._heard = 0.0

    def begin(self) -> None:
        """The head is up: wait for the workers."""
        self._say()
        self._poll()

    def _poll(self) -> None:
        if self._over():
            return
        if not self._all_here():
            self.world.agenda.after(POLL_SECONDS, self._poll)
            if self.world.now > self._heard + HEARTBEAT_SECONDS:
                self._say()
        elif not self.training and self.storage.claimed_by > self.whose.attempt:
            self.end("StorageError")
        else:
            self._resume()

    def _over(self) -> bool:
        return not self.container.running or self.last_word is not None or self.frozen

    def _all_here(self) -> bool:
        return len(self.world.cluster.workers(self.of)) >= self.wanted

    def _told(self) -> tuple[int, int]:
        """How many workers and how many trials its run file speaks of."""
        secret = self.world.server.find(kube.SECRETS, self.name, self.whose.namespace)
        assert secret is not None, "a container starts once all that it mounts is there"
        spec = json.loads(secret["stringData"][wire.KEY_RUN])["spec"]
        return spec["workers"]["replicas"], (spec.get("tuning") or {}).get("trials") or 0

    def _resume(self) -> None:
        """From the newest checkpoint, or from the start."""
        self.storage.claimed_by = max(self.storage.claimed_by, self.whose.attempt)
        known = self.step if self.training else self.storage.last_step
        self.resumed_from = self.storage.newest
        if known is not None:
            self.steps_lost = max(0, known - (self.storage.newest or 0))
        self.step = self.storage.newest or 0
        self.training = True
        self._say()
        if self.world.schedule.chatty and not self.words:
            self._chat()
        self.world.agenda.after(self._a_while(), self._train, [w.uid for w in self._workers()])

    def _chat(self) -> None:
        """Say again and again how far it is, as often as it was told, or more often than that."""
        if not self._over():
            self.words += 1
            self._say()
            self.world.agenda.after(self.world.schedule.chatty, self._chat)

    def _a_while(self) -> float:
        """How long it trains between two reports."""
        return self.world.some(1.0, 5.0) * self.world.schedule.pace

    def _workers(self) -> list[Container]:
        return self.world.cluster.workers(self.of)

    def _train(self, group: list[str]) -> None:
        """Some more steps, if the group of workers is still the one that began."""
        if self._over():
            return
        if [worker.uid for worker in self._workers()] != group:
            self._poll()
            return
        self.step += STEPS
        self.reports += 1
        self.storage.last_step = max(self.step, self.storage.last_step or 0)
        if self.reports % CHECKPOINT_EVERY == 0 and not self._save():
            self.end("StorageError")
        elif self.step >= self.plan.steps:
            self.end("Succeeded")
        else:
            self._say()
            self.world.agenda.after(self._a_while(), self._train, group)

    def _save(self) -> bool:
        """Commit a checkpoint; false if a newer attempt has claimed the storage."""
        if self.storage.claimed_by > self.whose.attempt:
            return False
        self.storage.newest = self.step
        return True

    def asked_to_stop(self) -> None:
        """SIGTERM: take a checkpoint, say so, and go. That may take its time, in which it trains and speaks on."""
        world = self.world
        most = 3.0 if world.chance.random() < 0.7 else LONGEST_STOP_SECONDS
        world.agenda.after(world.some(0.05, most), self._stop)

    def _stop(self) -> None:
        if not self._over():
            if self.training:
                self._save()
            self.end("Interrupted")

    # Its words

    def end(self, how: str) -> None:
        """The driver has come to its end, and says how."""
        if self._over():
            return
        fields: dict[str, Any] = {"message": f"this is how it ended: {how}"}
        if how == "Succeeded":
            fields["result"] = {"metrics": {"test/accuracy": f"0.{self.container.uid[-12:]}", **self._signed()}}
        elif how != "Interrupted":
            fields["cause"] = how
        kind = how if how in ("Succeeded", "Interrupted") else "Failed"
        word = self._file() | {"outcome": kind, **fields}
        word.pop("heartbeatTime", None)
        self.last_word = (how, word)
        self._say(outcome=word)
        if self.odd:
            word = twisted(self.odd, self._file() | {"outcome": word})["outcome"]
        text = written(self.odd, word)[-wire.OUTCOME_MAX_BYTES :]
        self.world.agenda.after(self.world.some(0.01, 0.5), self._exit, how, text)

    def _exit(self, how: str, word: str) -> None:
        code = EXIT_CODES[how]
        self.world.cluster.end_container(self.container, code, "Completed" if code == 0 else "Error", word)

    def ended(self, reason: str, *, spoke: bool) -> None:
        """The process has ended, by itself or by a blow; its last word stands in its pod if it spoke."""
        told = self.last_word is not None and self._outcome_stands()
        if self.last_word is not None and (told or spoke):
            how, word = self.last_word
        else:
            # A word that reached nobody was never said.
            how, word = ("OutOfMemory" if reason == "OOMKilled" else "Killed"), {}
        metrics = (word.get("result") or {}).get("metrics")
        self.world.checks.driver_ended(self.container, Truth(how, metrics, told, self.trials))

    def _file(self) -> dict[str, Any]:
        progress: dict[str, Any] = {"stage": "Training" if self.training else "Preparing", "metrics": self._signed()}
        said = {"uid": self.whose.job_uid, "attempt": self.whose.attempt, "progress": progress}
        if self.words:
            progress["metrics"]["words"] = str(self.words)
        if self.training:
            progress |= {"step": self.step, "percent": min(100, 100 * self.step // self.plan.steps)}
        if self.storage.newest is not None and self.training:
            uri = f"s3://bucket/{self.whose.job_uid}"
            said["checkpoint"] = {"uri": uri, "step": self.storage.newest, "time": self._time()}
        resume = {"resumedFromStep": self.resumed_from, "stepsLost": self.steps_lost}
        said |= {key: value for key, value in resume.items() if value is not None}
        if self.trials and self.training:
            ended = min(self.trials, self.trials * self.step // self.plan.steps)
            said["tuning"] = {"metric": "validation/f1", "planned": self.trials, "completed": ended}
        return said

    def _say(self, outcome: dict[str, Any] | None = None) -> None:
        """Patch the ConfigMap of the name that it was told, whosever that is by now.

        Nobody waits for it, and nobody is told if it does not work. No policy keeps it from there: some clusters have
        none, and the operator has to tell the words of two jobs apart itself.
        """
        self._heard = self.world.now
        if not self.container.node.reachable or self._config() is None:
            return
        said = self._file() | {"heartbeatTime": self._time()}
        if outcome is not None:
            said["outcome"] = outcome
        text = written(self.odd, twisted(self.odd, said) if self.odd else said)

        def edit(body: Object) -> None:
            body.setdefault("data", {})[wire.KEY_PROGRESS] = text

        self.world.server.change(kube.CONFIG_MAPS, self.name, edit, self.whose.namespace)

    def _time(self) -> str:
        """Now, by the clock of its node."""
        return to_text(self.container.node.clock.at(self.world.now))

    def _outcome_stands(self) -> bool:
        config = self._config()
        return config is not None and '"outcome": {' in (config.get("data") or {}).get(wire.KEY_PROGRESS, "")

    def _config(self) -> Object | None:
        return self.world.server.find(kube.CONFIG_MAPS, self.name, self.whose.namespace)

    def _signed(self) -> dict[str, str]:
        """A metric that says whose word it is."""
        return {SIGNATURE: self.whose.job_uid}
