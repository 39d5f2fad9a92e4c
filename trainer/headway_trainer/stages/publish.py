"""What a run leaves in its folder: the model's files, the report, and last result.json, which names them all."""

from __future__ import annotations

from headway_api.evaluation import Evaluation
from headway_api.job import TrainingJobSpec
from headway_api.training_rows import Values
from headway_trainer import publish
from headway_trainer.data import DataInfo
from headway_trainer.data.reference import predicted
from headway_trainer.report.gates import of_other_data
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run
from headway_trainer.signing import signing_key
from headway_trainer.stages.compare import Compare
from headway_trainer.stages.cross_validate import CrossValidate
from headway_trainer.stages.prepare import Prepare
from headway_trainer.stages.result import model_info, run_result
from headway_trainer.stages.stage import Results
from headway_trainer.stages.train import Train
from headway_trainer.stages.tune import Tune
from headway_trainer.training.checkpoints.store import MODEL_FILE
from headway_trainer.training.link import TrainEnd


class Publish:
    """Publishes what training has left."""

    name = "publish"

    def spec(self, job: TrainingJobSpec) -> Evaluation:
        """What the model has to reach."""
        return job.evaluation

    def run(self, spec: Evaluation, run: Run, before: Results) -> RunResult:
        """Publish: the same files, whenever and however often it is done."""
        info, end = before.get(Prepare), before.get(Train)
        if end is None:
            raise ValueError("nothing was trained")
        run.reporter.stage("Publishing")
        if run.reporter.times is not None:
            run.reporter.times.publishes()
        run.steps.close()
        with run.reporter.alive_meanwhile():
            # A driver that was thought dead, and comes back, may put nothing in the place of its successor's.
            run.fence()
            weights = None
            exported = end.export is not None and end.export.file is not None
            if end.chosen is not None and ("safetensors" in run.spec.export.formats or not exported):
                chosen = run.checkpoints.named(end.chosen)
                weights = run.checkpoints.copy(chosen, chosen.candidate.file, run.store, MODEL_FILE)
            key = signing_key(run)
            told, said = model_info(run, info, end), _predicted(end, info)
            artifacts = publish.publish_model(run.store, weights, end.export, told, key, predicted=said)
            for sentence in end.warnings:
                run.reporter.warn(sentence)
            if end.export is not None and end.export.problem is not None:
                run.reporter.warn(_sentence(end.export.problem))
            if not artifacts and end.export is None:
                run.reporter.warn(_without_model(end, tuned=before.get(Tune) is not None))
            standards = before.get(Compare)
            for sentence in of_other_data(standards, info.content_hash) if standards and info else ():
                run.reporter.warn(sentence)
            run.fence()
            whole = run_result(run, spec, info, end, standards=standards, folds=before.get(CrossValidate))
            times = run.reporter.times
            spent = None if times is None else times.told()
            whole = whole.model_copy(update={"tuning": before.get(Tune), "time": spent})
            whole = whole.model_copy(update={"artifacts": artifacts})
            result, own = publish.publish_result(run.store, whole)
            run.reporter.told.result = publish.to_status(run.store, result, own)
            run.reporter.told.bundle = publish.bundle_digest(artifacts)
        return result


def _predicted(end: TrainEnd, info: DataInfo | None) -> Values | None:
    """The classes that the model gives to test rows, where a confusion matrix was asked for."""
    matrix, classes = end.confusion_matrix, info.classes if info is not None else None
    return predicted(matrix, classes) if matrix and classes and len(matrix) == len(classes) else None


def _without_model(end: TrainEnd, *, tuned: bool) -> str:
    """What a function of the user's that has never called save_model leaves. tuned: whether it ran trials."""
    if tuned:
        return (
            "No model was saved, as tuning.entrypoint has not called headway_trainer.save_model; the checkpoints of its"
            " trials are where its Tuner has put them."
        )
    left = (
        "it reported no checkpoint either"
        if end.checkpoint is None
        else f"its newest checkpoint is {end.checkpoint.uri}"
    )
    return f"No model was saved, as the training function has not called headway_trainer.save_model; {left}."


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
