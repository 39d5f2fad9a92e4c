"""Training on the workers, with the evaluation and the export of the model that is kept: what needs the model in
memory is done where it was trained."""

from __future__ import annotations

from pydantic import ValidationError

from headway_api.base import StatusSection
from headway_api.evaluation import Evaluation
from headway_api.job import TrainingJobSpec
from headway_api.model import Model
from headway_api.training import Training
from headway_trainer.errors import NotFound, UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.run import Run
from headway_trainer.run_record import module_digests
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.stage import Results
from headway_trainer.training.checkpoints.store import Damaged
from headway_trainer.training.link import TrainEnd, TrainProgress


class TrainSpec(StatusSection):
    """What is trained, and how it is judged."""

    model: Model | None
    training: Training
    evaluation: Evaluation
    seed: int


class Train:
    """Trains, evaluates and exports."""

    name = "train"

    def spec(self, job: TrainingJobSpec) -> TrainSpec:
        """All that the model depends on but the rows."""
        evaluation = job.evaluation.model_copy(update={"gates": None})  # they are judged when all is published
        return TrainSpec(model=job.model, training=job.training or Training(), evaluation=evaluation, seed=job.seed)

    def run(self, spec: TrainSpec, run: Run, before: Results) -> TrainEnd:
        """Train from the newest checkpoint on; or take what an attempt before came to."""
        info = before.get(Prepare)
        own = spec.training.entrypoint is not None
        if info is None and not own:
            raise UserError("set data: the built-in training has nothing to learn from")
        code = module_digests(run.around.code) if own or (spec.model and spec.model.entrypoint) else {}
        digest = digest_of(spec, info and [info.digest, info.content_hash], code)
        end = recall(run.store, self.name, digest, TrainEnd)
        if end is not None and _is_whole(end, run):
            return _taken(end, run)

        from headway_trainer.ray.train_stage import train, train_own

        end = run.on_workers(lambda stage: train_own(stage, info) if own or info is None else train(stage, info))
        run.fence()
        keep(run.store, self.name, digest, end)
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


def _taken(end: TrainEnd, run: Run) -> TrainEnd:
    """What an attempt before came to, as this one tells of it: it goes on after the last step."""
    step = end.own_steps if end.reports is not None else end.step
    progress = TrainProgress(
        stage="Evaluating",
        epoch=end.epochs_run,
        step=step or 0,
        counts_reports=step is None,
        done=1,
        planned=0 if end.reports is not None else 1,
        checkpoint=end.checkpoint,
        resumed_from_step=step,
        notes=end.notes,
    )
    run.reporter.progress(progress, run.steps)
    return end.model_copy(update={"resumed_from_step": step})
