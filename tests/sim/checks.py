"""What must hold in a simulated world: at each write, at each reconcile, at each moment, and at rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.keys import Key
from headway_operator.engine.kube import FencedError, KubeError, Object
from headway_operator.engine.queue import FIRST_BACKOFF, LONGEST_BACKOFF
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import OVERDUE_SECONDS
from headway_operator.training.plan.losses import FOLLOW_SECONDS
from sim import statuses
from sim.fakes.api import Call, Event
from sim.kubelet import Container, Whose, condition, ended
from sim.network import READS
from sim.schedule import named
from sim.statuses import Tale
from sim.trainer import SIGNATURE, Truth

if TYPE_CHECKING:
    from sim.cluster import Place
    from sim.process import Process
    from sim.world import World

OURS = (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES)
UNWATCHED = ("Secret", "Service", "NetworkPolicy")
SURE = ("UserError", "StorageError", "Internal", "OutOfMemory")
"""Ends that mean the same whatever else has happened to the pod."""
RECONCILES_A_SECOND, RECONCILES_A_POD = 30, 4
"""So many reconciles of a job a second are enough, and so many more for each of its pods: all may change at once."""
RECONCILES_A_MINUTE, RECONCILES_A_CHANGE = 75, 8
"""So many reconciles of a job a minute are enough whatever its driver says: for each report, and for each status write
that waited for its time; and so many more for each other change of its objects."""
REPLACED_SECONDS = 150.0
"""Within so many seconds of calm a worker that is lost is replaced, or its attempt is over."""
CALLS_BASE, CALLS_AN_ATTEMPT, CALLS_A_POD, CALLS_A_CHANGE, CALLS_A_REFUSAL, CALLS_A_FAULT = 30, 30, 4, 1, 12, 20
"""The bound on the API calls about one job: so many for itself, each attempt, each pod that was created, each change
that others made to its objects (each may be worth one status write), each pod that was refused (it is asked for again,
with what it needs), and each death of the operator."""


class ViolationError(AssertionError):
    """Something that must hold does not."""


class Checks:
    """Watches a world, and speaks up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tales: defaultdict[str, Tale] = defaultdict(Tale)
        """By the uid of a job."""
        self.truths: dict[tuple[str, int], Truth] = {}
        """By job and attempt: how the driver really ended."""
        self.unknowable: set[tuple[str, int]] = set()
        """Jobs and attempts of whose driver's end the operator need not know."""
        self.odd: set[tuple[str, int]] = set()
        """Jobs and attempts whose driver says what nobody expects."""
        self._hidden: dict[str, float] = {}
        """By the name of an object: when somebody took the label away that it is watched by."""
        self.last_seed = 0.0
        """When a process has last read all that exists."""
        self._endangered: Object | None = None
        """The object that the call at hand is to delete, where it is not the operator's."""
        self._deleted_by_us: dict[str, float] = {}
        """By the name of a pod: when the operator last deleted it."""
        self._bare: set[str] = set()
        """Names of objects whose ConfigMap somebody has deleted."""
        self._late: set[str] = set()
        """Names of objects that were created late."""
        self.disturbances = self.silent_nodes = 0
        self.violation: str | None = None
        self.worst = 0.0
        """The largest share of its bound that a job's API calls have taken."""
        self._failures: Counter[tuple[int, Key]] = Counter()
        self._not_before: dict[tuple[int, Key], float] = {}
        self._reconciles: Counter[tuple[int, Key, int]] = Counter()
        self._changes: Counter[tuple[Place, int]] = Counter()
        """By the place of a job and the minute: changes of its objects, what its driver says excepted."""
        self._pods: dict[str, dict[str, Object]] = {}
        """By the uid of their job, by their own: the pods that exist."""

    def fail(self, text: str) -> None:
        """Something that must hold does not. Whoever swallows the exception does not swallow this."""
        self.violation = self.violation or text
        raise ViolationError(text)

    # Calls and reconciles

    def sent(self, process: Process, call: Call) -> None:
        """A call leaves a process."""
        about_it = call.resource in ("trainingjobs", *(resource.plural for resource in OURS))
        if about_it and call.name not in ("", wire.MANAGED_BY):
            self._tale_of(call).calls += 1
        if call.verb in READS:
            return
        self._knows_better(process, call)
        for other in self.world.processes:
            if other is not process and other.elector is not None and other.may_write():
                self.fail(f"{process.name} writes ({call.verb} {call.resource}) while {other.name} holds the Lease")

    def _knows_better(self, process: Process, call: Call) -> None:
        """Nothing is begun for a job of which its operator knows that it is suspended."""
        if (call.verb, call.resource) != ("create", kube.CONFIG_MAPS.plural):
            return
        name, _, attempt = call.name.rpartition("-")
        owner = process.store.owner(Key(kube.JOBS.kind, call.namespace, name.rpartition("-")[0]))
        if owner is None or not call.name.startswith(f"{owner.name}-{owner.uid[: wire.UID_LENGTH]}-"):
            return
        if owner.spec.value().get("suspend") and int(attempt) > owner.status.value().get("attempt", 0):
            self.fail(f"{process.name} begins attempt {attempt} of {owner.name}, and knows that it is suspended")

    def arrives(self, call: Call) -> None:
        """A call has come to the API server, and is about to be carried out."""
        found = self.world.server.objects.get((call.resource, call.namespace, call.name))
        deletes = call.verb == "delete" and found is not None and found["metadata"]["uid"] in self.world.foreign
        self._endangered = found if deletes else None

    def wrote(self, process: Process, call: Call, error: KubeError | None, *, late: bool) -> None:
        """A write of a process has come to the API server."""
        what = f"{call.verb} {call.resource} {named(call.namespace, call.name)}{', late' if late else ''}"
        self.world.note(process.name, f"{what}: {error}" if error else what)
        if error is None and self._endangered is not None:
            self.fail(f"{process.name} deletes the {call.resource} {call.name}, which is not the operator's")
        if error is None and call.verb == "delete" and call.resource == "pods":
            self._deleted_by_us[call.name] = self.world.now
        if error is not None and call.verb == "create" and call.resource == "pods":
            self._tale_of(call).refusals += 1
        if late and call.verb == "create" and error is None:
            self._late.add(call.name)

    def _tale_of(self, call: Call) -> Tale:
        """The tale of the job that a call is about: its name is what an object's begins with, a part of its uid next.

        An operator whose watch is blind goes on for some time with a job that was replaced by one of the same name.
        """
        job, *rest = call.name.split("-")
        uid = self.world.uids.get((call.namespace, job), call.name)
        if rest and not uid.startswith(rest[0]):
            uid = next((known for known in self.tales if known.startswith(rest[0])), uid)
        return self.tales[uid]

    def reconcile_begins(self, process: Process, key: Key) -> None:
        """A process reconciles a job."""
        now, of = self.world.now, (id(process), key)
        due = self._not_before.get(of, 0.0)
        if now < due - 0.001:
            self.fail(f"{process.name} tries {named(*key[-2:])} again {due - now:.2f} s before its backoff is over")
        second = (id(process), key, int(now))
        self._reconciles[second] += 1
        asked = self.tales[self.world.uids.get(key[-2:], "")].most_asked
        if self._reconciles[second] > RECONCILES_A_SECOND + RECONCILES_A_POD * asked:
            self.fail(f"{process.name} reconciles {named(*key[-2:])} again and again")
        minute = (id(process), key, -1 - int(now) // 60)
        self._reconciles[minute] += 1
        changes = self._changes[key[-2:], int(now) // 60]
        if self._reconciles[minute] > RECONCILES_A_MINUTE + RECONCILES_A_CHANGE * changes:
            self.fail(
                f"{process.name} reconciles {named(*key[-2:])} {self._reconciles[minute]} times a minute for "
                f"{changes} changes"
            )

    def reconcile_failed(self, process: Process, key: Key, error: Exception) -> None:
        """A reconcile of a job has failed."""
        if not isinstance(error, KubeError):
            self.fail(f"{process.name} reconciles {named(*key[-2:])}: {error!r}")
        of = (id(process), key)
        self._failures[of] += 1
        backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (self._failures[of] - 1))
        self._not_before[of] = self.world.now + backoff
        if not isinstance(error, FencedError):
            self.world.note(process.name, f"its reconcile of {named(*key[-2:])} fails: {error}")

    def reconcile_succeeded(self, process: Process, key: Key) -> None:
        """A reconcile of a job has come to its end."""
        self._failures.pop((id(process), key), None)
        self._not_before.pop((id(process), key), None)

    # Changes

    def happened(self, event: Event) -> None:
        """Something has changed at the API server."""
        whose = self.world.whose.get(event.body["metadata"]["uid"])
        if event.resource == "trainingjobs":
            self._job_changed(event)
        elif whose is not None and event.resource == "pods":
            self._pod_changed(event, whose)
        elif whose is not None and event.resource == "configmaps":
            self.tales[whose.job_uid].changes += 1
            self._changed((whose.namespace, whose.job), event.type != "MODIFIED")

    def _pod_changed(self, event: Event, whose: Whose) -> None:
        body, job = event.body, whose.job_uid
        uid = body["metadata"]["uid"]
        pods = self._pods.setdefault(job, {})
        tale = self.tales[job]
        tale.changes += 1
        self._changed((whose.namespace, whose.job))
        if event.type == "DELETED":
            pods.pop(uid, None)
            self._head_gone(body, whose)
            return
        pods[uid] = body
        tale.lacked_room |= condition(body, "PodScheduled") == "False"
        if event.type == "ADDED":
            tale.pods += 1
            tale.attempts = max(tale.attempts, whose.attempt)
        self._few_enough(job, tale)

    def _changed(self, place: Place, count: int = 1) -> None:
        self._changes[place, int(self.world.now) // 60] += count

    def _few_enough(self, job: str, tale: Tale) -> None:
        """One attempt, one head, and no more workers than asked for."""
        # A create that was given up, and arrived late, may make a pod whose place has been taken since: it goes again.
        known = [pod for pod in self._pods[job].values() if pod["metadata"]["name"] not in self._late]
        live = [pod for pod in known if not ended(pod) and not self._given_up(pod)]
        if len(live) > 1:
            live = [pod for pod in live if self._may_run(pod)]
        if len({self._whose(pod).attempt for pod in live}) > 1:
            self.fail(f"two attempts live: {sorted(pod['metadata']['name'] for pod in live)}")
        heads = sum(self._whose(pod).role == wire.ROLE_HEAD for pod in live)
        wanted = max(tale.most_asked, (tale.status.get("workers") or {}).get("desired") or 0)
        if len(live) - heads > wanted:
            names = sorted(pod["metadata"]["name"] for pod in live)
            self.fail(f"{len(live) - heads} workers live, {wanted} were asked for: {names}")

    def _whose(self, body: Object) -> Whose:
        return self.world.whose[body["metadata"]["uid"]]

    def _given_up(self, pod: Object) -> bool:
        """Whether a pod should have been gone so long ago that its node counts as lost."""
        going = to_seconds(pod["metadata"].get("deletionTimestamp"))
        return going is not None and self.world.server_now > going + OVERDUE_SECONDS

    def _may_run(self, pod: Object) -> bool:
        """Whether a pod has what it needs to start, or has started: one whose attempt's objects are gone never does."""
        container = self.world.cluster.containers.get(pod["metadata"]["uid"])
        if container is not None and container.running:
            return True
        whose = self._whose(pod)
        name = wire.object_name(whose.job, whose.job_uid, whose.attempt)
        return self.world.server.find(kube.SECRETS, name, whose.namespace) is not None

    def struck(self, struck: Iterable[Whose], blows: int = 1) -> None:
        """Something happens to pods; to all of one job together it may count as so many failures."""
        for job in {whose.job_uid for whose in struck if whose.job_uid}:
            self.tales[job].blows += blows

    def is_odd(self, container: Container) -> None:
        """From now on a driver says what nobody expects: what comes of it is anybody's guess."""
        self.tales[container.whose.job_uid].odd = True
        self.odd.add(container.of)

    def hidden(self, body: Object) -> None:
        """Somebody takes the label away by which an object is watched. Who begins after that does not know of it."""
        self._hidden[body["metadata"]["name"]] = self.world.now

    def worker_ended(self, container: Container) -> None:
        """A worker has ended, and its kubelet says so: somebody has to take its place."""
        due = max(self.world.now, self.world.calm_at) + REPLACED_SECONDS
        self.world.agenda.at(due, self._replaced, container)

    def _replaced(self, container: Container, *patient: bool) -> None:
        """Whether a lost worker has been replaced, where its attempt has not ended."""
        patience = 0.0 if patient else self._patience(container.whose)
        if patience:
            self.world.agenda.after(patience, self._replaced, container, True)
            return
        whose, tale = container.whose, self.tales[container.whose.job_uid]
        newest = (tale.status.get("attempts") or [{}])[-1]
        goes_on = tale.status.get("phase") == "Running" and not (newest.get("cause") or newest.get("endTime"))
        scheduled = [item for item in tale.status.get("conditions", []) if item["type"] == "Scheduled"]
        refused = any(item["reason"] == "PodsRefused" for item in scheduled)
        if not goes_on or newest.get("number") != whose.attempt or refused or tale.odd:
            return
        job = self.world.server.find(kube.JOBS, whose.job, whose.namespace)
        if job is None or job["metadata"]["uid"] != whose.job_uid:
            return
        pods = self._pods.get(whose.job_uid, {}).values()
        if not any(self._whose(pod)[:6] == whose[:6] and not ended(pod) for pod in pods):
            self.fail(f"{container.name} has ended {REPLACED_SECONDS:.0f} s ago, and nobody takes its place")

    def _patience(self, lost: Whose) -> float:
        """How much longer it may take until a lost worker is replaced, or its attempt has ended."""
        # What becomes of pods that are not watched any more is seen by the next comparison.
        patience = self.world.schedule.resync if self._hidden else 0.0
        for pod in self._pods.get(lost.job_uid, {}).values():
            grace = pod["metadata"].get("deletionGracePeriodSeconds")
            if grace is not None and self._whose(pod).role == wire.ROLE_HEAD and not ended(pod):
                # The attempt ends with its head. If that does not answer, it has its time first.
                patience = max(patience, grace + OVERDUE_SECONDS + FOLLOW_SECONDS)
        return patience

    def driver_ended(self, container: Container, truth: Truth) -> None:
        """A driver has ended."""
        of = container.of
        if of in self.truths:
            # A create that arrived late made a second pod of the attempt.
            self.unknowable.add(of)
            if self.truths[of].how == "Succeeded":
                return
        self.truths[of] = truth
        pod = self.world.cluster.pod(container)
        if not truth.told and (pod is None or not container.node.reachable):
            self.unknowable.add(of)
        if (pod is not None and self._given_up(pod)) or self._recorded(of):
            self.unknowable.add(of)

    def config_taken_away(self, config: Object) -> None:
        """Somebody deletes an attempt's ConfigMap: the driver's word in it goes with it."""
        whose = self.world.whose.get(config["metadata"]["uid"])
        if whose is None:
            return  # of another kind
        of = (whose.job_uid, whose.attempt)
        self._bare.add(config["metadata"]["name"])
        if of in self.truths:
            self.truths[of].told = False
            heads = (pod for pod in self._pods.get(of[0], {}).values() if self._whose(pod).role == wire.ROLE_HEAD)
            if all(self._whose(pod).attempt != of[1] for pod in heads):
                self.unknowable.add(of)

    def excused(self, left: Object) -> bool:
        """Whether an object may be left until its job goes.

        The ConfigMap is the sign of what is not watched. It is missing if somebody deleted it as the operator died or a
        node went silent, and if an object was created late: by a process that froze just after it had asked whether it
        may write. What has lost the label that it is watched by is not known to an operator that begins after that.
        """
        meta = left["metadata"]
        if self._unknown(left):
            return True
        bare = meta["name"] in self._bare and (self.disturbances > 0 or self.silent_nodes > 0)
        return (meta["name"] in self._late or bare) and left.get("kind") in UNWATCHED

    def _unknown(self, body: Object) -> bool:
        """Whether an object had lost the label that it is watched by when a process last read all that exists."""
        return self._hidden.get(body["metadata"]["name"], self.last_seed) < self.last_seed

    def _head_gone(self, pod: Object, whose: Whose) -> None:
        of = (whose.job_uid, whose.attempt)
        if whose.role == wire.ROLE_HEAD and not self._recorded(of):
            name = pod["metadata"]["name"]
            at_once = self._deleted_by_us.get(name) == self.world.now
            if at_once and ended(pod) and not pod["metadata"].get("deletionTimestamp"):
                self.fail(f"the head {name} is deleted before its end is recorded")
            truth = self.truths.get(of)
            if truth is None or not truth.told:
                self.unknowable.add(of)

    def _recorded(self, of: tuple[str, int]) -> bool:
        """Whether the status tells of an attempt's end."""
        entries = self.tales[of[0]].status.get("attempts", [])
        number = self.tales[of[0]].status.get("attempt", 0)
        return number > of[1] or any(entry["number"] == of[1] and entry.get("endTime") for entry in entries)

    def _job_changed(self, event: Event) -> None:
        body, uid = event.body, event.body["metadata"]["uid"]
        tale = self.tales[uid]
        spec = body.get("spec") or {}
        tale.most_asked = max(tale.most_asked, (spec.get("workers") or {}).get("replicas", 1))
        tale.suspended |= bool(spec.get("suspend"))
        tale.timed |= spec.get("activeDeadlineSeconds") is not None
        self._changed((body["metadata"]["namespace"], body["metadata"]["name"]), spec != tale.spec)
        tale.spec = spec
        status = body.get("status") or {}
        if status == tale.status:
            tale.changes += 1
            return
        before, tale.status = tale.status, status
        self.world.note(
            named(body["metadata"]["namespace"], body["metadata"]["name"]), f"status: {statuses.told(status)}"
        )
        for text in statuses.wrong(tale, before, status):
            self.fail(text)
        self._own_words(uid, status)
        self._suspended(uid, status)
        self._ended(uid, before, status)

    def _own_words(self, job: str, status: dict[str, Any]) -> None:
        """Nothing that the pods of one job say ends up in the status of another."""
        parts = [status.get(part) or {} for part in ("progress", "result", "checkpoint")]
        said = [part["metrics"][SIGNATURE] for part in parts if SIGNATURE in part.get("metrics", {})]
        said += [part["uri"].rpartition("/")[2] for part in parts if "uri" in part]
        for uid in said:
            if uid != job and uid in self.tales:
                self.fail(f"the status of the job {job} has words of {uid}")

    def _suspended(self, job: str, status: dict[str, Any]) -> None:
        """A job that is called suspended holds no pod, and is in no other phase."""
        if not any(item["type"] == "Suspended" and item["status"] == "True" for item in status.get("conditions", [])):
            return
        if status.get("phase") != "Suspended":
            self.fail(f"Suspended, and in phase {status.get('phase')}")
        pods = (pod for pod in self._pods.get(job, {}).values() if not self._unknown(pod))
        held = [pod for pod in pods if not self._given_up(pod) and self._may_run(pod)]
        if held:
            self.fail(f"suspended, but there are {sorted(pod['metadata']['name'] for pod in held)}")

    def _ended(self, job: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """No attempt is called ended whose head runs, on a node that answers, and is not overdue."""
        over = {entry["number"] for entry in before.get("attempts", []) if entry.get("endTime")}
        fresh = {entry["number"] for entry in after.get("attempts", []) if entry.get("endTime")} - over
        for pod in self._pods.get(job, {}).values() if fresh else ():
            whose, container = self._whose(pod), self.world.cluster.containers.get(pod["metadata"]["uid"])
            if whose.role != wire.ROLE_HEAD or whose.attempt not in fresh or container is None:
                continue
            if container.running and container.node.reachable and not self._given_up(pod):
                self.fail(f"attempt {whose.attempt} is called ended, and its head {container.name} runs")

    # At rest

    def at_rest(self) -> None:
        """What must hold when nothing happens any more."""
        for process in self.world.processes:
            if deaf := process.deaf():
                self.fail(f"{process.name}, whose watches have shown all that happened, takes one for deaf: {deaf}")
        for body in self.world.server.of(kube.JOBS):
            self._outcome(body)
        for body in self.world.server.of(kube.JOBS):
            uid = body["metadata"]["uid"]
            self._calls(uid, self.tales[uid])

    def _outcome(self, job: Object) -> None:
        uid, status = job["metadata"]["uid"], job.get("status") or {}
        succeeded = [one for one in status.get("attempts", []) if one.get("endTime") and not one.get("cause")]
        newest = succeeded[-1]["number"] if succeeded else 0
        for entry in status.get("attempts", []):
            of = (uid, entry["number"])
            truth = self.truths.get(of)
            said = entry.get("cause", "Succeeded") if entry.get("endTime") else "nothing"
            if truth is None or of in self.odd or (of in self.unknowable and said != "Succeeded"):
                continue
            if not _agrees(truth.how, said):
                self.fail(f"{job['metadata']['name']}: attempt {of[1]} ended with {truth.how}, the status says {said}")
            if (
                said == "Succeeded"
                and entry["number"] == newest
                and (status.get("result") or {}).get("metrics") != truth.metrics
            ):
                self.fail(f"the result is {status.get('result')}, the driver's metrics were {truth.metrics}")
        if status.get("phase") == "Succeeded" and not any(
            of == uid and truth.how == "Succeeded" for (of, _), truth in self.truths.items()
        ):
            self.fail("the job has succeeded, and no driver of it has")
        if status.get("phase") == "Succeeded" and uid in {of for of, _ in self.truths} and not self.tales[uid].odd:
            told = max(truth.trials for (of, _), truth in self.truths.items() if of == uid)
            wanted = (job["spec"].get("tuning") or {}).get("trials", 0)
            if told < wanted:
                self.fail(f"the job has succeeded with {told} trials, and its spec asks for {wanted}")

    def _calls(self, uid: str, tale: Tale) -> None:
        # An attempt whose pods never came, as a name of its objects is taken, has cost what its objects cost.
        attempts = max(tale.attempts, tale.status.get("attempt") or 0)
        bound = (
            CALLS_BASE
            + CALLS_AN_ATTEMPT * attempts
            + CALLS_A_POD * tale.pods
            + CALLS_A_CHANGE * tale.changes
            + CALLS_A_REFUSAL * tale.refusals
            + CALLS_A_FAULT * self.disturbances
        )
        self.worst = max(self.worst, tale.calls / bound)
        if tale.calls > bound:
            self.fail(f"{tale.calls} API calls for the job {uid}, {bound} are its bound: {tale}")


def _agrees(how: str, said: str) -> bool:
    """Whether the status says what has happened."""
    if how == "Succeeded" or said == "Succeeded":
        return how == said
    if how in SURE:
        return how == said
    return said not in ("nothing", "UserError")
