"""A world: an API server, a cluster, trainers, users, and one or two processes of the operator, in virtual time.

All that happens follows from the schedule: the same one makes the same world.
"""

from __future__ import annotations

import random
from collections import deque

from headway_api import wire
from headway_api.status import FINISHED
from headway_operator.engine import kube
from headway_operator.engine.kube import Object, Resource
from sim import actions, scopes, tenants, versions
from sim.agenda import Agenda
from sim.builders import T0
from sim.checks import OURS, Checks, ViolationError
from sim.clocks import Clocks
from sim.cluster import Cluster, Place
from sim.fakes.api import ApiServer, Event, clone
from sim.fakes.schema import Definition, installed
from sim.kubelet import Whose
from sim.process import Process
from sim.schedule import Schedule, named
from sim.trainer import Storage

REST_EVERY = 5.0
PATIENCE = 4000.0
"""So long after the last trouble everything has come to rest."""
HISTORY = 100
LABELLED = (kube.PODS.plural, kube.CONFIG_MAPS.plural)
RESTING = (*FINISHED, "Suspended")


def _stored(body: Object) -> Object:
    """What the API server keeps of an object here: nobody asks for the rest, and copying it takes time."""
    kept = {key: clone(value) for key, value in body.items() if key != "spec"}
    kind, spec = body.get("kind"), body.get("spec") or {}
    if kind == "Pod":
        kept["spec"] = {"terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds", 30)}
    elif kind in ("TrainingJob", "Tiny", "Lease"):
        kept["spec"] = clone(spec)
    return kept


class World:
    """Everything."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.chance = random.Random(schedule.seed + 1_000_003)  # noqa: S311 - nobody is to be kept from guessing it
        self.agenda = Agenda(T0)
        self.clocks = Clocks(T0, schedule.skew, schedule.seed)
        self._server_clock = self.clocks.another()
        self.timeline: list[tuple[float, str, str]] = []
        """What has happened, and who did it."""
        self.server = ApiServer(lambda: self.server_now, stored=_stored, judge=self._definition().judge)
        self.plans = {(job.namespace, job.name): job for job in schedule.jobs}
        self.uids: dict[Place, str] = {}
        """By the place of a job: the uid of the one that exists, or last did."""
        self.whose: dict[str, Whose] = {}
        """By uid: what the objects are that the operator has made."""
        self.foreign: set[str] = set()
        """The uids of objects that others have made."""
        self.squatters: list[tuple[Resource, Object]] = []
        """Those of them that have a name which the operator needs."""
        self.storages: dict[str, Storage] = {}
        """By the uid of a job."""
        self.processes: list[Process] = []
        self.history: deque[Event] = deque(maxlen=HISTORY)
        """The newest events, which may come again."""
        self.slow_until = 0.0
        self.late_writes = 0
        """Writes that have been given up, and are going to arrive."""
        self.calm = False
        self.calm_at = T0 + schedule.calm
        self._started = 0
        self.checks = Checks(self)
        self.cluster = Cluster(self, schedule.nodes, schedule.slots)

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.agenda.now

    @property
    def server_now(self) -> float:
        """The same, by the API server's clock."""
        return self._server_clock.at(self.agenda.now)

    def suspend(self, place: Place) -> None:
        """A user suspends a job."""
        self.note("user", f"suspends {named(*place)}")
        self.server.change(kube.JOBS, place[1], lambda body: body["spec"].update(suspend=True), place[0])

    def _definition(self) -> Definition:
        return versions.newer() if len(self.schedule.versions) > 1 else installed()

    def claim(self, body: Object) -> str:
        """What a copy of an object says of its job."""
        return tenants.claim(body)

    def note(self, who: str, what: str) -> None:
        """A line of the timeline."""
        self.timeline.append((self.agenda.now - T0, who, what))

    def some(self, least: float, most: float) -> float:
        """Some seconds."""
        return least + (most - least) * self.chance.random()

    def latency(self) -> float:
        """How long a request or its answer is under way."""
        drawn = self.chance.random()
        return 0.001 + 0.02 * drawn if drawn < 0.97 or self.calm else 2.0 * self.chance.random()

    def watch_delay(self) -> float:
        """How long an event is under way."""
        drawn = self.chance.random()
        if self.now < self.slow_until:
            return 10.0 * drawn
        return 0.005 + 0.1 * drawn if drawn < 0.97 or self.calm else 3.0 * self.chance.random()

    def run(self) -> World:
        """From the beginning until everything has come to rest. Raises ViolationError if anything is not as it must."""
        try:
            self._run()
        finally:
            for process in self.processes:
                process.died = True
                process.loop.bury()
        return self

    def _run(self) -> None:
        schedule = self.schedule
        for job in schedule.jobs:
            self.agenda.at(T0 + job.at, actions.create_job, self, job)
        for number in range(schedule.operators):
            self.agenda.after(0.5 * number, self._start_operator)
        for action in schedule.actions:
            self.agenda.at(T0 + action.at, actions.do, self, action)
        self._go_on(T0 + schedule.calm)
        self._calm_down()
        # What the last trouble leads to comes a moment later.
        self._go_on(self.now + REST_EVERY)
        while self._unrest() or self._idleness():
            if self.now > T0 + schedule.calm + PATIENCE:
                self.checks.fail(f"never at rest: {self._unrest() or self._idleness()}")
            self._go_on(self.now + REST_EVERY)
        self._go_on(self.now + REST_EVERY)
        if self._unrest():
            self.checks.fail(f"it was at rest, and is no more: {self._unrest()}")
        self.checks.at_rest()

    def _go_on(self, until: float) -> None:
        while self.agenda.step(until):
            self._pass_on()

    def _pass_on(self) -> None:
        """Whoever watches is told of what has just happened, and processes with something to do, do it."""
        server = self.server
        if server.events:
            events, server.events = server.events, []
            self.history.extend(events)
            for event in events:
                self._identify(event)
                self.checks.happened(event)
                self.cluster.happened(event)
                for process in self.processes:
                    process.happened(event)
        for process in list(self.processes):
            process.loop.pump()
        if self.checks.violation is not None:
            raise ViolationError(self.checks.violation)

    def _identify(self, event: Event) -> None:
        """Keep in mind what an object is: its labels may be changed."""
        meta = event.body["metadata"]
        if event.type != "ADDED" or event.resource not in LABELLED or meta["uid"] in self.foreign:
            return
        labels = meta.get("labels") or {}
        if wire.LABEL_JOB not in labels:
            return  # of another kind
        self.whose[meta["uid"]] = Whose(
            namespace=meta["namespace"],
            job=labels[wire.LABEL_JOB],
            job_uid=labels[wire.LABEL_JOB_UID],
            attempt=int(labels[wire.LABEL_ATTEMPT]),
            role=labels.get(wire.LABEL_ROLE, ""),
            place=int(labels.get(wire.LABEL_WORKER, 0)),
        )

    def _start_operator(self) -> None:
        self._started += 1
        name = f"operator-{self._started}"
        version = self.schedule.versions[(self._started - 1) % len(self.schedule.versions)]
        self.note(name, f"starts, of the version {version}" if version != versions.OURS else "starts")
        self.processes.append(Process(self, name, version))

    def operator_died(self, process: Process) -> None:
        """Another takes its place."""
        self.processes.remove(process)
        self.checks.disturbances += 1
        self.agenda.after(self.some(0.5, 4.0), self._start_operator)

    def _calm_down(self) -> None:
        """From here on nothing goes wrong any more, and what is wrong is put right."""
        self.note("world", "calms down")
        self.calm = True
        tenants.evict_squatters(self)
        scopes.permit(self)
        self.slow_until = self.cluster.images_fail_until = 0.0
        for process in self.processes:
            process.armed.clear()
            process.cut_off = False
            if process.watches(kube.JOBS.plural):
                process.resume_watch(kube.JOBS.plural)
        most = max([tale.most_asked for tale in self.checks.tales.values()], default=1) + 1
        for node in self.cluster.nodes:
            node.slots = max(node.slots, -(-most // len(self.cluster.nodes)))
            recover = self.cluster.find_node if self.chance.random() < 0.5 else self.cluster.give_node_up
            self.agenda.after(self.some(0.0, 60.0), recover, node)
            self.agenda.after(61.0, self.cluster.find_node, node)
        self.cluster.make_room()

    def _unrest(self) -> str:
        """Which job or object is not at rest."""
        if self.late_writes:
            return "a write is still under way"
        for body in self.server.of(kube.JOBS):
            phase = (body.get("status") or {}).get("phase")
            if phase not in RESTING or (phase == "Suspended") != _suspended(body):
                return f"{named_of(body)} is {phase}: {(body.get('status') or {}).get('conditions')}"
            if phase == "Succeeded" and (few := _too_few_trials(body)):
                return few
        for resource in OURS:
            for body in self.server.of(resource):
                uid = body["metadata"]["uid"]
                of_a_job = resource.plural not in LABELLED or uid in self.whose
                if of_a_job and uid not in self.foreign and not self.checks.excused(body):
                    return f"{resource.kind} {named_of(body)} is left behind"
        return ""

    def _idleness(self) -> str:
        """Why no operator waits for work."""
        if not any(process.may_write() for process in self.processes):
            return "no operator works"
        for process in self.processes:
            busy = process.busy()
            if busy:
                return f"{process.name} {busy}"
        return ""


def named_of(body: Object) -> str:
    """The name of an object for people."""
    return named(body["metadata"]["namespace"], body["metadata"]["name"])


def _too_few_trials(job: Object) -> str:
    """Why a job that has succeeded is to go on, if it is."""
    last = (job["status"].get("attempts") or [{}])[-1].get("trials") or 0
    wanted = (job["spec"].get("tuning") or {}).get("trials") or 0
    return f"{named_of(job)} has run {last} trials, and its spec asks for {wanted}" if 0 < last < wanted else ""


def _suspended(job: Object) -> bool:
    """Whether a job that has not finished is held by its user."""
    return bool(job["spec"].get("suspend")) and (job.get("status") or {}).get("phase") not in FINISHED


__all__ = ["ViolationError", "World"]
