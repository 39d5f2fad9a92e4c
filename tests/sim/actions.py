"""What the actions of a schedule do to a world."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import InvalidError, Object, Resource
from sim import words
from sim.builders import document
from sim.disruptions import drain, fail_network, lose_zone, upgrade
from sim.kubelet import Container, Node, set_condition
from sim.network import FAULTS, MEANWHILE, Armed
from sim.schedule import Action, JobPlan
from sim.scopes import delete_namespace, forbid_namespace
from sim.tenants import TENANTS

if TYPE_CHECKING:
    from sim.process import Process
    from sim.world import World

RESOURCES = ("trainingjobs", "pods", "configmaps")
SPOILT = {"name": "mlp", "options": {"no such option": 1}}
"""A model that the API server takes, and the operator does not."""
HEAD_CODES = (137, 139, 70, 143)
WORKER_CODES = (137, 139, 70, 0)
"""A driver that ends with 0 or 1 says so; a worker that ends with 0 follows its head."""


def do(world: World, action: Action) -> None:
    """It happens."""
    _ACTIONS[action.what](world, action)


def _on_process(act: Callable[[World, Process, Action], None]) -> Callable[[World, Action], None]:
    """To the process that works, mostly."""

    def choose(world: World, action: Action) -> None:
        leading = [process for process in world.processes if process.may_write()] or world.processes
        chosen = leading if action.which % 4 else world.processes
        if chosen:
            act(world, chosen[action.which % len(chosen)], action)

    return choose


def _on_pod(act: Callable[[World, Object, Action], None]) -> Callable[[World, Action], None]:
    def choose(world: World, action: Action) -> None:
        pods = _ours(world, kube.PODS)
        if pods:
            chosen = pods[action.which % len(pods)]
            world.checks.struck([world.whose[chosen["metadata"]["uid"]]])
            act(world, chosen, action)

    return choose


def _ours(world: World, resource: Resource) -> list[Object]:
    """Objects that the operator has made."""
    return [body for body in world.server.of(resource) if body["metadata"]["uid"] not in world.foreign]


def _on_container(act: Callable[[World, Container, Action], None]) -> Callable[[World, Action], None]:
    def choose(world: World, action: Action) -> None:
        running = [one for one in world.cluster.containers.values() if one.running and one.role]
        if running:
            chosen = running[action.which % len(running)]
            world.checks.struck([chosen.whose])
            act(world, chosen, action)

    return choose


def _on_driver(how: str) -> Callable[[World, Action], None]:
    def choose(world: World, action: Action) -> None:
        drivers = [one.driver for one in world.cluster.containers.values() if one.running and one.driver is not None]
        if drivers:
            drivers[action.which % len(drivers)].end(how)

    return choose


def _odd_driver(world: World, action: Action) -> None:
    """From now on a driver says something that nobody expects."""
    drivers = [one.driver for one in world.cluster.containers.values() if one.running and one.driver is not None]
    if drivers:
        driver = drivers[action.which % len(drivers)]
        driver.odd = words.NAMES[action.much % len(words.NAMES)]
        world.checks.is_odd(driver.container)
        world.note(driver.container.name, f"says {driver.odd}")


def _freeze_driver(world: World, container: Container, _: Action) -> None:
    if container.driver is not None:
        world.note(container.node.name, f"{container.name} stands still")
        container.driver.frozen = True


def _on_node(act: Callable[[World, Node, Action], None]) -> Callable[[World, Action], None]:
    def choose(world: World, action: Action) -> None:
        nodes = world.cluster.nodes
        act(world, nodes[action.which % len(nodes)], action)

    return choose


def _on_job(act: Callable[[World, JobPlan, Action], None]) -> Callable[[World, Action], None]:
    def choose(world: World, action: Action) -> None:
        jobs = world.schedule.jobs
        act(world, jobs[action.which % len(jobs)], action)

    return choose


# The operator


def _set_clock(world: World, process: Process, action: Action) -> None:
    """Somebody sets the clock of a machine: that of a node, or that under the operator."""
    seconds = (action.much - 500) / 500 * world.schedule.skew
    nodes = world.cluster.nodes
    name, clock = (process.name, process.clock) if action.which % 2 else (nodes[0].name, nodes[0].clock)
    world.note(name, f"its clock is set by {seconds:+.0f} s")
    clock.set_by(seconds)


def _fault(_: World, process: Process, action: Action) -> None:
    kind = FAULTS[action.much % len(FAULTS)]
    process.armed.append(Armed(skip=action.which // 7 % 12, kind=kind, seconds=1.0 + action.much % 29))


def _meddle(_: World, process: Process, action: Action) -> None:
    process.armed.append(Armed(skip=action.which // 7 % 4, kind=MEANWHILE, seconds=0.0))


def _stop(_: World, process: Process, __: Action) -> None:
    if not process.died:
        process.loop.create_task(process.stop_in_order())


def _cut_off(world: World, process: Process, action: Action) -> None:
    seconds = 2.0 + action.much % 25
    world.note(process.name, f"does not reach the API server for {seconds:.0f} s")
    process.cut_off = True
    world.agenda.after(seconds, setattr, process, "cut_off", False)


def _gap(world: World, process: Process, action: Action, *, listed: bool) -> None:
    resource = RESOURCES[action.much % len(RESOURCES)]
    if not process.watches(resource):
        return
    seconds = 1.0 + action.much % 60
    world.note(process.name, f"its watch of {resource} {'breaks off' if listed else 'is blind'} for {seconds:.0f} s")
    process.end_watch(resource)
    world.agenda.after(seconds, process.begin_watch if listed else process.resume_watch, resource)


def _slow(world: World, action: Action) -> None:
    world.note("watches", "are slow")
    world.slow_until = world.now + 3.0 + action.much % 30


def _repeat(world: World, action: Action) -> None:
    if not world.history:
        return
    event = world.history[-1 - action.much % len(world.history)]
    for process in world.processes:
        process.again(event)


# The cluster


def _crash(world: World, container: Container, action: Action) -> None:
    codes = HEAD_CODES if container.role == wire.ROLE_HEAD else WORKER_CODES
    world.cluster.end_container(container, codes[action.much % len(codes)])


def _kill_for_memory(world: World, container: Container, _: Action) -> None:
    world.cluster.end_container(container, 137, "OOMKilled")


def _evict(world: World, container: Container, _: Action) -> None:
    world.cluster.end_container(container, 137, status_reason="Evicted")


def _delete(world: World, pod: Object, _: Action) -> None:
    world.note("somebody", f"deletes {pod['metadata']['name']}")
    world.server.delete(kube.PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])


def _delete_by_force(world: World, pod: Object, _: Action) -> None:
    world.note("somebody", f"deletes {pod['metadata']['name']} by force")
    world.server.remove(kube.PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])


def _preempt(world: World, pod: Object, _: Action) -> None:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    world.note("scheduler", f"preempts {name}")
    disrupted = ("DisruptionTarget", "True", "PreemptionByScheduler")
    world.server.change(kube.PODS, name, lambda body: set_condition(body, *disrupted), namespace)
    world.server.delete(kube.PODS, name, namespace)


def _lose_node(world: World, node: Node, action: Action, *, off: bool) -> None:
    world.cluster.lose_node(node, off=off)
    then = world.cluster.find_node if action.much % 3 else world.cluster.give_node_up
    world.agenda.after(5.0 + action.much % 200, then, node)


def _fail_images(world: World, action: Action) -> None:
    world.note("registry", "does not answer")
    world.cluster.images_fail_until = world.now + 5.0 + action.much % 90


def _fill(world: World, action: Action) -> None:
    world.note("cluster", "is full of other work")
    for node in world.cluster.nodes:
        node.room = 0
    world.agenda.after(5.0 + action.much % 100, world.cluster.make_room)


def _delete_config(world: World, action: Action) -> None:
    configs = _ours(world, kube.CONFIG_MAPS)
    if configs:
        meta = configs[action.which % len(configs)]["metadata"]
        world.note("somebody", f"deletes the ConfigMap {meta['name']}")
        world.checks.config_taken_away(configs[action.which % len(configs)])
        world.server.remove(kube.CONFIG_MAPS, meta["name"], meta["namespace"])


# The user


def _edit(world: World, job: JobPlan, **spec: Any) -> None:
    try:
        world.server.change(kube.JOBS, job.name, lambda body: body["spec"].update(spec), job.namespace)
    except InvalidError as error:
        world.note("user", f"may not set {spec} of {job}: {error}")
    else:
        world.note("user", f"sets {spec} of {job}")


def _raise_trials(world: World, job: JobPlan, action: Action) -> None:
    """The user asks for more trials; now and then for fewer, which may not be."""
    body = world.server.find(kube.JOBS, job.name, job.namespace)
    tuning = body["spec"].get("tuning") if body is not None else None
    if tuning is not None:
        more = -1 if action.much % 7 == 0 else 1 + action.much % 3
        _edit(world, job, tuning=tuning | {"trials": max(1, tuning["trials"] + more)})


def _delete_job(world: World, job: JobPlan, _: Action) -> None:
    if world.server.find(kube.JOBS, job.name, job.namespace) is not None:
        world.note("user", f"deletes the job {job}")
        world.server.delete(kube.JOBS, job.name, job.namespace)


def _replace_job(world: World, job: JobPlan, action: Action) -> None:
    """Delete and apply again, as `kubectl replace --force`: often in the same moment, while the old pods still run."""
    _delete_job(world, job, action)
    if action.much % 3:
        world.agenda.after(action.much / 300, create_job, world, job)
    else:
        create_job(world, job)


def create_job(world: World, job: JobPlan, _: Action | None = None) -> None:
    """The user applies a job, unless it is there."""
    place = job.namespace, job.name
    if world.server.find(kube.JOBS, job.name, job.namespace) is not None or job.namespace in world.server.ending:
        return
    world.note("user", f"applies the job {job}")
    made = world.server.create(kube.JOBS, job.namespace, document(job.name, job.namespace, **job.spec))
    world.uids[place] = made["metadata"]["uid"]


_ACTIONS: dict[str, Callable[[World, Action], None]] = {
    "fault": _on_process(_fault),
    "suspend meanwhile": _on_process(_meddle),
    "kill operator": _on_process(lambda _, process, __: process.die("is killed")),
    "stop operator": _on_process(_stop),
    "freeze operator": _on_process(lambda _, process, action: process.freeze(1.0 + action.much % 40)),
    "cut operator off": _on_process(_cut_off),
    "interrupt watch": _on_process(lambda world, process, action: _gap(world, process, action, listed=True)),
    "lose watch": _on_process(lambda world, process, action: _gap(world, process, action, listed=False)),
    "slow watches": _slow,
    "set clock": _on_process(_set_clock),
    "repeat event": _repeat,
    "crash": _on_container(_crash),
    "kill for memory": _on_container(_kill_for_memory),
    "delete pod": _on_pod(_delete),
    "delete pod by force": _on_pod(_delete_by_force),
    "preempt": _on_pod(_preempt),
    "evict": _on_container(_evict),
    "lose node": _on_node(lambda world, node, action: _lose_node(world, node, action, off=False)),
    "switch node off": _on_node(lambda world, node, action: _lose_node(world, node, action, off=True)),
    "fail network": _on_container(fail_network),
    "drain": _on_node(drain),
    "upgrade nodes": upgrade,
    "lose zone": lose_zone,
    "fail images": _fail_images,
    "fill cluster": _fill,
    "delete ConfigMap": _delete_config,
    "user error": _on_driver("UserError"),
    "storage error": _on_driver("StorageError"),
    "finish": _on_driver("Succeeded"),
    "freeze driver": _on_container(_freeze_driver),
    "odd driver": _odd_driver,
    **TENANTS,
    "delete namespace": delete_namespace,
    "forbid namespace": forbid_namespace,
    "suspend": _on_job(lambda world, job, _: _edit(world, job, suspend=True)),
    "resume": _on_job(lambda world, job, _: _edit(world, job, suspend=False)),
    "delete job": _on_job(_delete_job),
    "replace job": _on_job(_replace_job),
    "create job": _on_job(create_job),
    "change workers": _on_job(lambda world, job, action: _edit(world, job, workers={"replicas": 1 + action.much % 3})),
    "change deadline": _on_job(
        lambda world, job, action: _edit(world, job, activeDeadlineSeconds=10 + action.much % 200)
    ),
    "raise trials": _on_job(_raise_trials),
    "spoil spec": _on_job(lambda world, job, _: _edit(world, job, model=SPOILT)),
}
