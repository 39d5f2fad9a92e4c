"""Training on the workers, with the evaluation and the export of the model that is kept: what needs the model in
memory is done where it was trained."""

from __future__ import annotations

from pydantic import ValidationError

from headway_api.base import StatusSection
from headway_api.consistency.facts import own_tuner
from headway_api.evaluation import Evaluation
from headway_api.export import Export
from headway_api.job import TrainingJobSpec
from headway_api.model import Model
from headway_api.status import CheckpointStatus
from headway_api.training import Training
from headway_trainer.data import DataInfo
from headway_trainer.errors import NotFound, UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.run import Run
from headway_trainer.run_record import module_digests
from headway_trainer.stages import own_trials
from headway_trainer.stages.own_tuner import end_of
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.stage import Results
from headway_trainer.stages.tune import Tune
from headway_trainer.training import history
from headway_trainer.training.checkpoints.store import Damaged, now
from headway_trainer.training.link import TrainEnd, TrainProgress


class TrainSpec(StatusSection):
    """What is trained, and how it is judged."""

    model: Model | None
    training: Training
    evaluation: Evaluation
    export: Export
    seed: int


class Train:
    """Trains, evaluates and exports."""

    name = "train"

    def spec(self, job: TrainingJobSpec) -> TrainSpec:
        """All that the model depends on but the rows."""
        evaluation = job.evaluation.model_copy(update={"gates": None})  # they are judged when all is published
        return TrainSpec(
            model=job.model,
            training=job.training or Training(),
            evaluation=evaluation,
            export=job.export,
            seed=job.seed,
        )

    def run(self, spec: TrainSpec, run: Run, before: Results) -> TrainEnd:
        """Train from the newest checkpoint on; or take what an attempt before, or the best trial, came to.

        The trials of a Tuner of the user's own have trained already."""
        search = before.get(Tune)
        if search is not None and (own_tuner(run.spec) or spec.training.entrypoint is not None):
            end = end_of(search) if own_tuner(run.spec) else own_trials.end_of_the_best(run)
            _tell_end(end, run)
            return end
        end = trained(spec, before.get(Prepare), run)
        if search is None or search.retrained is not None:
            return end
        # What it went on from is the end of a trial, and no attempt that broke off.
        return end.model_copy(update={"resumed_from_step": None})


def trained(spec: TrainSpec, info: DataInfo | None, run: Run) -> TrainEnd:
    """Train on a run's workers, or take what an attempt before came to. Raises as `Run.on_workers`, and UserError."""
    own = spec.training.entrypoint is not None
    if info is None and not own:
        raise UserError("set data: the built-in training has nothing to learn from")
    code = module_digests(run.around.code) if own or (spec.model and spec.model.entrypoint) else {}
    digest = digest_of(spec, info and [info.digest, info.content_hash], code)
    end = recall(run.store, Train.name, digest, TrainEnd)
    if end is not None and _is_whole(end, run):
        end = end.model_copy(update={"resumed_from_step": end.own_steps if end.reports is not None else end.step})
    else:
        from headway_trainer.ray.own_stage import train_own
        from headway_trainer.ray.train_stage import train

        end = run.on_workers(lambda stage: train_own(stage, info) if own or info is None else train(stage, info))
        if run.scope:  # a child's model is judged, and not kept
            end = end.model_copy(update={"chosen": None})
        run.fence()
        keep(run.store, Train.name, digest, end)
    _tell_end(end, run)
    return end


def _is_whole(end: TrainEnd, run: Run) -> bool:
    """Whether the files that training has left are still what was written."""
    try:
        if end.chosen is not None:
            chosen = run.checkpoints.named(end.chosen)
            run.checkpoints.verify(chosen, chosen.candidate.file)
        file = end.export.file if end.export else None
        return file is None or run.store.sha256(file.name) == file.sha256
    except (NotFound, Damaged, ValidationError):
        return False


def _tell_end(end: TrainEnd, run: Run) -> None:
    """Tell what training came to."""
    step = end.own_steps if end.reports is not None else end.step
    checkpoint = end.checkpoint
    if checkpoint is not None and run.scope:
        checkpoint = CheckpointStatus(uri=run.store.uri, step=end.step, time=now())
    progress = TrainProgress(
        stage="Evaluating",
        epoch=end.epochs_run,
        epochs=end.epochs_run,
        step=step or 0,
        counts_reports=step is None,
        done=1,
        planned=0 if end.reports is not None else 1,
        measured=history.measured(end.history),
        checkpoint=checkpoint,
        resumed_from_step=end.resumed_from_step,
        notes=end.notes,
    )
    run.reporter.progress(progress, run.steps, run.scope, ended=True)
