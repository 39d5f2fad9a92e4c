"""What result.json and model.json say of a run that has ended, put together from the results of its stages."""

from __future__ import annotations

import time

from headway_api.bundle import Provenance
from headway_api.evaluation import Evaluation
from headway_api.job import TrainingJobSpec
from headway_api.model import Model
from headway_api.training import Training
from headway_trainer import publish
from headway_trainer.data import DataInfo
from headway_trainer.export.record import ModelInfo
from headway_trainer.fetch_code import resolved_commit
from headway_trainer.report.gates import Standards, failed, judge
from headway_trainer.report.model import CrossValidation, DataSummary, Metrics, ModelSummary, RunResult, TrainingSummary
from headway_trainer.resolve_names import better_of
from headway_trainer.run import Run
from headway_trainer.training.checkpoints.store import now
from headway_trainer.training.link import TrainEnd


def run_result(
    run: Run,
    evaluation: Evaluation,
    info: DataInfo | None,
    end: TrainEnd,
    *,
    standards: Standards | None,
    folds: CrossValidation | None,
) -> RunResult:
    """All of result.json but the files. standards: what gates compare with; none where none does."""
    spec = run.spec
    metrics = Metrics.model_validate(
        end.metrics | {"by_target": end.by_target, "by_horizon": end.by_horizon, "naive": end.naive}
    )
    known = standards.by_gate if standards is not None else None
    gates = judge(evaluation.gates or [], metrics, known, better_of(spec))
    failure = failed(gates)
    profiled = info.warnings if info is not None else []  # the data's profile has these
    warnings = [sentence for sentence in run.reporter.told.warnings if sentence not in profiled]
    return RunResult(
        job=run.file.name,
        namespace=run.file.namespace or None,
        uid=run.file.uid or None,
        outcome="Succeeded" if failure is None else "Failed",
        message=" ".join([*([failure] if failure else []), *end.notes, *warnings]),
        seed=spec.seed,
        world_size=spec.workers.world_size,
        processes=spec.workers.processes_each,
        attempt=run.file.attempt,
        started=run.started,
        finished=now(),
        duration_seconds=round(time.monotonic() - run.began, 3),
        data=DataSummary.of(info) if info else None,
        model=_model(spec.model, end.parameters),
        training=_training(_entrypoint(spec), spec.training or Training(), end, run.threads),
        metrics=metrics,
        cross_validation=folds,
        confusion_matrix=end.confusion_matrix,
        confusions=end.confusions,
        export=end.export.model_copy(update={"signature": None}) if end.export else None,
        gates=gates,
        checkpoint=end.checkpoint,
        environment=publish.environment(resolved_commit(run.around.code)),
    )


def model_info(run: Run, info: DataInfo | None, end: TrainEnd) -> ModelInfo:
    """All of model.json but the files."""
    file, spec = run.file, run.spec
    read = spec.data.read if spec.data is not None else None
    return ModelInfo(
        model=spec.model,
        data=info,
        read=read.model_dump(mode="json", exclude_none=True, by_alias=True) if read is not None else {},
        signature=end.export.signature if end.export else None,
        parity=end.export.parity if end.export else None,
        provenance=Provenance(
            job=file.name,
            namespace=file.namespace or None,
            uid=file.uid or None,
            attempt=file.attempt,
            seed=spec.seed,
            code_commit=resolved_commit(run.around.code),
            image=spec.image,
            data_hash=info.content_hash if info else None,
            finished=now(),
            packages=publish.packages(spec.model.name if spec.model is not None else None),
        ),
    )


def _entrypoint(spec: TrainingJobSpec) -> str | None:
    """The user's own function that trained, if one did."""
    own = (section.entrypoint for section in (spec.tuning, spec.training) if section is not None)
    return next((name for name in own if name is not None), None)


def _training(entrypoint: str | None, spec: Training, end: TrainEnd, threads: int) -> TrainingSummary:
    in_epochs = end.reports is None and end.iterations is None
    return TrainingSummary(
        entrypoint=entrypoint,
        epochs_run=end.epochs_run if in_epochs else None,
        steps=end.step if in_epochs else end.own_steps,
        iterations=end.iterations,
        reports=end.reports,
        early_stopped=end.early_stopped,
        device=end.device,
        threads=threads,
        precision_asked=spec.precision,
        precision_used=end.precision_used,
        resumed_from_step=end.resumed_from_step,
        first_step_time=end.first_step_time,
        kept=end.kept,
        history=end.history,
    )


def _model(spec: Model | None, parameters: int | None) -> ModelSummary | None:
    if spec is None:
        return None
    return ModelSummary(name=spec.name, entrypoint=spec.entrypoint, options=spec.options, parameters=parameters)
