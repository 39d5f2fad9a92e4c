"""How a user's own `ray.tune.Tuner` comes to work for a job: where it keeps its experiment, that it goes on with that
of the attempt before, and who is told of its trials. The user's code stays as it is.

An experiment is a pickle, and to read one runs what it holds. So only the run's own folder is read, which is on the
storage of the job, at a place that the user's code does not choose; a `storage_path` of the user's own is left to the
user, and nothing is restored from there.

What is replaced here is no public interface of Ray, which is pinned to one minor version.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import ray
from pyarrow import fs
from ray import tune
from ray.train.constants import DEFAULT_STORAGE_PATH
from ray.tune.execution.experiment_state import _find_newest_experiment_checkpoint
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.impl.tuner_internal import _TUNER_PKL, TunerInternal

from headway_trainer.entrypoints import describe
from headway_trainer.errors import UserError
from headway_trainer.ray.runtime import WORKER_RESOURCE
from headway_trainer.ray.tuner_callback import Teller, Telling
from headway_trainer.tuning.own_messages import MOST_NAME, Fitted, Plan

NAME = "tuner"
"""The experiment's name where the user gives none: Ray's own would be another one at each attempt."""


class Stopped(BaseException):
    """The experiment is saved, and the user's function is not to go on. No `except Exception` keeps it."""


class NotRestored(BaseException):
    """The experiment of the attempt before cannot be read. Ray would begin anew, with fewer trials, and tell nobody."""


def install(telling: Telling, filesystem: fs.FileSystem, folder: str, where: str, *, places: int = 1) -> None:
    """Let each Tuner of this process keep its experiment in a folder of the file system, and tell of its trials.

    where: what messages say of the folder, and of how a user begins anew. places: the training processes' places that a
    trial takes at the least, with all that it starts.
    """
    TunerInternal.__init__ = _initialised(TunerInternal.__init__, telling, filesystem, folder, where)
    TunerInternal.fit = _fitted(TunerInternal.fit, telling)
    TuneController.resume = _resumed(TuneController.resume, where)
    Trial.create_placement_group_factory = _with_places(Trial.create_placement_group_factory, places)
    ray.init = functools.partial(ray.init, ignore_reinit_error=True)  # what the user's code calls is there already
    tune.run = tune.run_experiments = _no_tuner


def _no_tuner(*_: Any, **__: Any) -> None:
    raise UserError(
        "ray.tune.run is no Tuner, and Headway would not hear of its trials: call ray.tune.Tuner(...).fit()"
    )


def _initialised(
    initialise: Callable[..., None], telling: Telling, filesystem: fs.FileSystem, folder: str, where: str
) -> Any:
    @functools.wraps(initialise)
    def initialised(self: TunerInternal, restore_path: str | None = None, *arguments: Any, **options: Any) -> None:
        if restore_path is None and not arguments:
            config = copy.copy(options.get("run_config")) or tune.RunConfig()
            if config.storage_path in {None, DEFAULT_STORAGE_PATH} and config.storage_filesystem is None:
                config.name = _named(config.name)
                path = f"{folder}/{config.name}"
                if _is_there(filesystem, path):
                    resume = {"restore_path": path, "storage_filesystem": filesystem}
                    kept = {name: options[name] for name in ("trainable", "param_space") if name in options}
                    try:
                        initialise(self, **resume, **kept, resume_config=tune.ResumeConfig())
                    except ValueError as error:  # Ray compares the names of trainable and parameters
                        raise UserError(
                            f"the Tuner is another one than that of the attempt before ({describe(error)}) in {where}"
                        ) from error
                    telling.plan = telling.plan.model_copy(update={"resumed": True})
                    return
                config.storage_path, config.storage_filesystem = folder, filesystem
            config.callbacks = _with_teller(config.callbacks)
            initialise(self, **{**options, "run_config": config})
            return
        initialise(self, restore_path, *arguments, **options)
        self._run_config.callbacks = _with_teller(self._run_config.callbacks)

    return initialised


def _with_teller(callbacks: Any) -> list[Any]:
    """First: Ray restores the state of callbacks by their places."""
    others = [one for one in callbacks or () if not isinstance(one, Teller)]
    return [Teller(), *others]


def _named(name: str | None) -> str:
    if name is None:
        return NAME
    if name in {"", ".", ".."} or "/" in name or "\\" in name:
        raise UserError(f"RunConfig(name={name!r}) is to be the name of a folder: write one without slashes")
    return name


def _is_there(filesystem: fs.FileSystem, path: str) -> bool:
    """Whether there is an experiment that can go on. Of one that was killed before its state was saved once, Ray would
    restore the Tuner, and run a single trial."""
    if filesystem.get_file_info(f"{path}/{_TUNER_PKL}").type != fs.FileType.File:
        return False
    return _find_newest_experiment_checkpoint(path, fs=filesystem) is not None


def _fitted(fit: Callable[..., Any], telling: Telling) -> Any:
    @functools.wraps(fit)
    def fitted(self: TunerInternal) -> Any:
        if telling.fitting or telling.plan.search:
            raise UserError(
                "tuning.entrypoint calls Tuner.fit() a second time, and a job has one experiment: put both searches"
                " into one Tuner, or into two jobs"
            )
        telling.plan, telling.most = _plan(self, telling.plan), _most_of(self._tune_config.scheduler)
        telling.fitting = True
        try:
            results = fit(self)
        finally:
            telling.fitting = False
        if telling.stop.is_set():
            raise Stopped
        trials = self._experiment_analysis.trials
        if trials and all(one.status == Trial.ERROR for one in trials):
            raise UserError(f"all {len(trials)} trials have failed")  # the driver says why
        telling.tell(Fitted())
        return results

    return fitted


def _plan(internal: TunerInternal, before: Plan) -> Plan:
    """What a Tuner says of its search. A metric may be the Tuner's, its scheduler's or its searcher's."""
    config = internal._tune_config
    searcher, scheduler = config.search_alg, config.scheduler
    inner = searcher
    while (deeper := getattr(inner, "searcher", None)) is not None:
        inner = deeper
    places = (config, scheduler, searcher, inner)
    metric = _first(places, ("metric", "_metric"))
    mode = _first(places, ("mode", "_mode"))
    known = mode in {"min", "max"} and len(metric) <= MOST_NAME
    return before.model_copy(
        update={
            "metric": metric if known else "",
            "mode": mode if known else "min",
            "search": _kind(inner, "BasicVariantGenerator")[:MOST_NAME],
            "scheduler": _kind(scheduler, "FIFOScheduler")[:MOST_NAME],
        }
    )


def _most_of(scheduler: Any) -> tuple[str, float] | None:
    """At how many reports a scheduler such as ASHA ends each trial, and what it counts there."""
    most, counted = getattr(scheduler, "_max_t", None), getattr(scheduler, "_time_attr", None)
    return (counted, float(most)) if isinstance(most, int | float) and isinstance(counted, str) else None


def _first(places: tuple[Any, ...], names: tuple[str, ...]) -> str:
    found = (getattr(place, name, None) for place in places for name in names)
    return next((one for one in found if isinstance(one, str) and one), "")


def _kind(one: Any, default: str) -> str:
    if one is None:
        return default
    return one if isinstance(one, str) else type(one).__name__


def _with_places(create: Callable[..., None], places: int) -> Any:
    """Let a trial hold a place for each process that it starts elsewhere, as a TorchTrainer in it does.

    Its placement group is made as a whole, or not at all: so no trial begins that could then wait for the workers of
    another one, which waits for its own. A bound of trials at once, such as `max_concurrent_trials`, would say the same
    where nothing pauses trials; of a population (PBT) it would let no more than so many ever begin.
    """

    @functools.wraps(create)
    def created(self: Trial) -> None:
        create(self)
        asked = self.placement_group_factory
        own = math.ceil(sum(bundle.get("CPU", 0.0) for bundle in asked.bundles))
        if places > max(own, 1):
            held = [{WORKER_RESOURCE: 1.0} for _ in range(places)]
            self.update_resources(tune.PlacementGroupFactory([*asked.bundles, *held], strategy=asked.strategy))

    return created


def _resumed(resume: Callable[..., None], where: str) -> Any:
    @functools.wraps(resume)
    def resumed(self: TuneController, *arguments: Any, **options: Any) -> None:
        try:
            resume(self, *arguments, **options)
        except Exception as error:
            raise NotRestored(
                f"the experiment of the attempt before cannot be read ({describe(error)}) in {where}"
            ) from error

    return resumed
