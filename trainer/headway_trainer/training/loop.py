"""The built-in training loop. It knows neither Ray nor Kubernetes: data, group, checkpoints and link are handed in.

A run that was killed at any step and resumed on as many workers has, on CPUs, bit for bit the weights of one that was
never killed: everything that a step depends on is in the checkpoint, or derived from the seed and the position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import torch
from safetensors.torch import load

from headway_api.catalogue import of_another_package
from headway_api.status import CheckpointStatus
from headway_trainer.data.batches import Batch, Feed, batches, on_device
from headway_trainer.errors import NotFound, UserError
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.models.build import parameter_count
from headway_trainer.report.model import EpochRecord
from headway_trainer.seeds import process_seed
from headway_trainer.tasks.tasks import epoch_metrics, scalar_names
from headway_trainer.training import history
from headway_trainer.training.checkpoints import state as states
from headway_trainer.training.checkpoints.fit import refuse_other_model, refuse_other_parameters
from headway_trainer.training.checkpoints.saver import Saver, TrainingTensors
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, Damaged, Manifest
from headway_trainer.training.coordination import Coordination
from headway_trainer.training.early_stopping import Patience, is_better
from headway_trainer.training.link import Answer, Question, Request, TrainEnd, TrainProgress
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.optimizers import load_optimizer_tensors
from headway_trainer.training.precision import agreed_precision, autocast
from headway_trainer.training.sampler import (
    batch_bounds,
    global_batch_rows,
    steps_per_epoch,
)
from headway_trainer.training.updates import Updates
from headway_trainer.training.within_epoch import WithinEpoch


class Loop:
    """One rank's part in a run."""

    def __init__(self, inputs: LoopInputs) -> None:
        self.inputs = inputs
        self.state = SharedState()
        self.notes: list[str] = []
        self._best_metric, notes = best_metric(inputs)
        self._rows = len(inputs.train[1])
        self._global_rows = inputs.info.rows["train"]
        self._steps = steps_per_epoch(self._global_rows, inputs.spec.batch_size, inputs.group.world_size)
        self._train = batches(inputs.train, inputs.info, inputs.device, inputs.train_weights, series=inputs.series)
        self._validation = on_device(inputs.validation, inputs.device)
        self._feed = Feed(inputs.info, inputs.device, inputs.series)
        self._model = inputs.model.to(inputs.device)
        self._precision, note = agreed_precision(inputs.spec.precision, inputs.device, inputs.group)
        self._updates = Updates(inputs, self._precision, inputs.spec.epochs * self._steps)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=inputs.device)
        self._seen = 0
        self._judged = 0
        self._resumed_from: int | None = None
        self._first_step_time: str | None = None
        self._saved: CheckpointStatus | None = None
        self._metrics: dict[str, float] = {}
        self._saver = Saver(inputs)
        self._tensors = TrainingTensors(self._model, self._updates.optimizers)
        self._coordination = Coordination(inputs)
        self._within = WithinEpoch(inputs.group)
        self.notes += notes + ([note] if note else [])

    def run(self) -> TrainEnd:
        """Train from where the newest checkpoint ends. Raises UserError, StorageError, and what the model raises."""
        self._restore()
        self._updates.start()
        request = self._ask() if self.state.unanswered else Request.NONE
        while not self._over():
            if request != Request.STOP:
                request = self._train_epoch()
            if self.state.batch == self._steps:
                request = self._finish_epoch(request)
            if request == Request.STOP and not self._over():
                self._tell()  # the checkpoint that was just taken
                return self.end(finished=False)
        return self.end(finished=True)

    @property
    def data_seconds(self) -> float:
        """How long the steps of this process have waited for their rows."""
        return self._train.waited

    def end(self, *, finished: bool) -> TrainEnd:
        """What there is to tell of the run so far."""
        gpu = self.inputs.device.type == "cuda"
        thinned = history.note(self.state.epoch)
        return TrainEnd(
            finished=finished,
            step=self.state.step,
            epochs_run=self.state.epoch,
            early_stopped=self.state.early_stopped,
            pruned=self.state.pruned,
            device=torch.cuda.get_device_name(self.inputs.device) if gpu else "cpu",
            precision_used=self._precision,
            parameters=parameter_count(self._model),
            resumed_from_step=self._resumed_from,
            first_step_time=self._first_step_time,
            history=self.state.history,
            checkpoint=self._saved,
            notes=self.notes + ([thinned] if thinned else []),
        )

    def _over(self) -> bool:
        state, until = self.state, self.inputs.until
        epochs = self.inputs.spec.epochs if until is None else min(until, self.inputs.spec.epochs)
        return state.early_stopped or state.pruned or state.epoch >= epochs

    def _train_epoch(self) -> Request:
        """Go on with the running pass, to its end or to where the driver asks to stop; what it asked for last."""
        inputs, state = self.inputs, self.state
        bounds = [batch_bounds(self._rows, self._steps, batch) for batch in range(state.batch, self._steps)]
        self._model.train()
        started = inputs.clock() - state.epoch_seconds
        request = Request.NONE
        self._within.begin(state.epoch_seconds, self._loss_sum.item(), self._seen)
        for batch in self._train.epoch(bounds, seed=inputs.seed, epoch=state.epoch, rank=inputs.group.rank):
            rows = self._step(batch)
            self._first_step_time = self._first_step_time or datetime.now(UTC).isoformat(timespec="milliseconds")
            state.batch += 1
            state.step += 1
            state.epoch_seconds = inputs.clock() - started
            # At the end of a pass come the numbers of all of it.
            due = state.batch < self._steps and self._within.is_due(state.epoch_seconds)
            request = self._coordination.after_step(rows, self._saver.overdue(), self._tell, due=due, point=self._point)
            if state.batch == self._steps:
                break  # the checkpoint at the end of a pass comes with its validation metrics
            if request != Request.NONE or self._saver.due_after(state.step):
                self._save({})
            if request == Request.STOP:
                break
        return request

    def _step(self, batch: Batch) -> int:
        """One step of the program; the rows of all ranks in it."""
        inputs, state = self.inputs, self.state
        count = len(batch.y)
        total = global_batch_rows(self._global_rows, inputs.group.world_size, self._steps, state.batch)
        self._updates.begin(state.epoch * self._steps + state.batch, count, total)
        loss = inputs.program.step(batch, self._updates)
        self._updates.end()
        if not isinstance(loss, torch.Tensor) or loss.shape != ():
            told = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise UserError(f"{type(inputs.program).__name__}.step gave {told}: it must give the mean loss, shape ()")
        self._loss_sum.add_(loss.detach(), alpha=count)
        self._seen += count
        return total

    def _point(self) -> None:
        """Take the numbers of the steps since the last point; every rank takes part."""
        state, updates = self.state, self._updates
        self._within.take(state.step, state.epoch_seconds, self._loss_sum.item(), self._seen, updates.measured())

    def _finish_epoch(self, request: Request) -> Request:
        """Judge the finished pass, and save what has to be saved. request: what the driver asked for last; returned is
        what it asks for now."""
        state, spec = self.state, self.inputs.spec
        if self._updates.steps >= self._steps and not self._updates.count:
            raise UserError(
                f"{type(self.inputs.program).__name__}.step called turn.update in no step of an epoch: without it"
                " nothing is learnt"
            )
        self._metrics = self._epoch_metrics()
        self._record()
        state.epoch, state.batch, state.epoch_seconds = state.epoch + 1, 0, 0.0
        self._loss_sum.zero_()
        self._seen = 0
        self._updates.logged.clear()
        if spec.early_stopping is not None:
            patience = Patience(state.patience_best, state.patience_waited)
            state.early_stopped = patience.update(self._metrics[spec.early_stopping.metric], spec.early_stopping)
            state.patience_best, state.patience_waited = patience.best, patience.waited
        value = self._metrics[self._best_metric]
        improved = math.isfinite(value) and is_better(value, state.best, spec.checkpoint.better)
        if improved:
            state.best = value
            if self.inputs.group.rank == 0:
                finite = {name: one for name, one in self._metrics.items() if math.isfinite(one)}
                self._tensors.best.take(self._model, state.step, finite)
        state.unanswered = state.epoch in self.inputs.compared_at and not self._over()
        if state.unanswered and request != Request.STOP:
            request = max(request, self._ask())
        wanted = improved and spec.checkpoint.keep_best > 1  # the best one alone needs no checkpoint of its own
        if request != Request.NONE or wanted or self._over() or self._saver.due_after(state.step):
            self._save(self._metrics)
        self._tell()
        return request

    def _ask(self) -> Request:
        """Ask whether this trial goes on after the pass that has just ended; STOP where there is no answer."""
        answer = Answer.GO_ON
        if self.inputs.group.rank == 0:
            part, _, name = self._best_metric.partition("/")
            last = self.state.history[-1]
            values = last.train if part == "train" else last.validation
            answer = self.inputs.link.ask(Question(epoch=self.state.epoch, value=values.get(name)))
        (answered,) = self.inputs.group.from_first([int(answer)])
        self.state.unanswered = answered == Answer.STOP
        self.state.pruned = answered == Answer.PRUNE
        return Request.STOP if self.state.unanswered else Request.NONE

    def _epoch_metrics(self) -> dict[str, float]:
        sums = torch.stack([self._loss_sum.cpu(), torch.tensor(float(self._seen), dtype=torch.float64)])
        loss, rows = self.inputs.group.sum(sums).tolist()
        metrics = {"train/loss": loss / rows}
        if not math.isfinite(metrics["train/loss"]):
            raise self._not_finite()
        metrics |= _of_train(self._updates.logged.over_ranks(self.inputs.group))
        if self.inputs.info.rows["validation"]:
            metrics |= {f"validation/{name}": value for name, value in self._validate().items()}
        return metrics

    def _validate(self) -> dict[str, float]:
        """The metrics of the validation part; each rank looks at its own shard."""
        inputs, spec = self.inputs, self.inputs.spec
        inputs.group.share(self._model.buffers())  # one model is judged: the one that is saved
        wanted = [spec.checkpoint.metric, *([spec.early_stopping.metric] if spec.early_stopping else [])]
        x, y = self._validation
        judged = evaluate(
            inputs.program,
            Shard(x, y, inputs.info.rows["validation"], inputs.validation_weights),
            metrics=epoch_metrics(inputs.program.task, wanted),
            ranks=inputs.group,
            batch_size=max(1, spec.batch_size // inputs.group.world_size),
            context=partial(autocast, self._precision, inputs.device),
            device=inputs.device,
            feed=self._feed,
            after_batch=self._after_judging,
        )
        return judged.scalars

    def _after_judging(self) -> None:
        self._judged += 1
        self._coordination.while_judging(self._tell)

    def _record(self) -> None:
        by_split: dict[str, dict[str, float | None]] = {"train": {}, "validation": {}}
        for name, value in self._metrics.items():
            split, _, short = name.partition("/")
            by_split[split][short] = value if math.isfinite(value) else None
        self.state.history.append(
            EpochRecord(
                epoch=self.state.epoch + 1,
                step=self.state.step,
                train=by_split["train"],
                validation=by_split["validation"],
                learning_rate=self._updates.learning_rate,
                seconds=round(self.state.epoch_seconds, 3),
            )
        )
        self.state.history = history.thinned(self.state.history)

    def _save(self, metrics: dict[str, float]) -> None:
        """Take a checkpoint; every rank takes part."""
        if not math.isfinite(self._loss_sum.item()):
            raise self._not_finite()
        self.state.scaler = self._updates.scaler.state_dict()
        own = states.capture_rank(self._loss_sum.item(), self._seen, self._updates.logged.state())
        self._saved = self._saver.save(self.state, own, self._tensors, metrics) or self._saved
        if self.inputs.group.rank == 0:
            spec = self.inputs.spec.checkpoint
            self.inputs.checkpoints.retain(spec.keep_last, spec.keep_best, self._best_metric, spec.better)

    def _restore(self) -> None:
        """Begin where the newest whole checkpoint ends, or afresh."""
        inputs = self.inputs
        states.seed_everything(process_seed(inputs.seed, inputs.group.rank))
        manifest, notes = self._saver.find()
        self.notes += notes
        if manifest is None:
            return
        self.state = SharedState.model_validate_json(inputs.checkpoints.read(manifest, STATE_FILE))
        weights = load(inputs.checkpoints.read(manifest, MODEL_FILE))
        refuse_other_model(manifest.step, self._model, weights)
        self._model.load_state_dict(weights)
        moments = load(inputs.checkpoints.read(manifest, states.OPTIMIZER_FILE))
        refuse_other_parameters(manifest.step, self._updates.optimizers, moments)
        load_optimizer_tensors(self._updates.optimizers, moments)
        if self.state.scaler:
            self._updates.scaler.load_state_dict(dict(self.state.scaler))
        if inputs.group.rank == 0:
            self._restore_best()
        self._saved = inputs.checkpoints.status(manifest)
        self._resumed_from = self.state.step
        if self._over():  # nothing is trained any more, so it does not matter how
            return
        if manifest.threads not in (None, torch.get_num_threads()):
            self.notes.append(
                f"The checkpoint of step {manifest.step} was taken with {manifest.threads} threads a process, and "
                f"{torch.get_num_threads()} resumed it: sums may come out in another order."
            )
        if manifest.world_size == inputs.group.world_size:
            self._restore_own_part(manifest)
        else:
            states.seed_everything(process_seed(inputs.seed, inputs.group.rank, self.state.step))
            self.state.batch, self.state.epoch_seconds = 0, 0.0
            self.notes.append(
                f"{manifest.world_size} training processes took the checkpoint of step {manifest.step}, "
                f"{inputs.group.world_size} resumed it: weights and optimiser went on, epoch {self.state.epoch + 1} "
                "began again."
            )

    def _restore_best(self) -> None:
        """Take the best model up to the checkpoint back to memory."""
        checkpoints, spec = self.inputs.checkpoints, self.inputs.spec.checkpoint
        for manifest in checkpoints.by_merit(self._best_metric, spec.better):
            candidate = manifest.candidate
            if self._best_metric not in candidate.metrics:
                return
            try:
                self._tensors.best.restore(load(checkpoints.read(manifest, candidate.file)), candidate)
            except (Damaged, NotFound) as error:
                self.notes.append(f"The best model in {manifest.name} was passed over: {error}.")
                continue
            return

    def _restore_own_part(self, manifest: Manifest) -> None:
        inputs = self.inputs
        own = states.RankState.model_validate_json(
            inputs.checkpoints.read(manifest, states.rank_file(inputs.group.rank))
        )
        tensors = load(inputs.checkpoints.read(manifest, states.rank_tensors_file(inputs.group.rank)))
        states.restore_rank(own)
        states.restore_generators(tensors, inputs.device)
        self._loss_sum.fill_(own.loss_sum)
        self._seen = own.rows
        self._updates.logged.restore(own.logged)

    def _not_finite(self) -> UserError:
        return UserError(
            f"the training loss is no finite number any more after step {self.state.step}: "
            "lower training.optimizer.lr, set training.clip, or look for extreme values in the data"
        )

    def _tell(self) -> None:
        if self.inputs.group.rank != 0:
            return
        state, epochs, heard = self.state, self.inputs.spec.epochs, self.inputs.link.heard()
        metrics = dict(self._metrics)
        if self._seen:
            metrics["train/loss"] = self._loss_sum.item() / self._seen
            metrics |= _of_train(self._updates.logged.means())
        self.inputs.link.tell(
            TrainProgress(
                epoch=min(state.epoch + 1, epochs),
                epochs=epochs,
                step=state.step,
                done=state.epoch * self._steps + state.batch,
                planned=epochs * self._steps,
                judged=self._judged,
                samples_per_second=self._coordination.samples_per_second,
                steps_per_second=self._coordination.steps_per_second,
                checkpoint_seconds=self._saver.seconds,
                data_seconds=self.data_seconds,
                not_finite=[name for name, value in metrics.items() if not math.isfinite(value)],
                metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
                measured=self._within.told(history.measured(state.history, heard), heard),
                checkpoint=self._saved,
                resumed_from_step=self._resumed_from,
                notes=self.notes,
            )
        )


def _of_train(values: Mapping[str, float]) -> dict[str, float]:
    return {f"train/{name}": value for name, value in values.items()}


def best_metric(inputs: LoopInputs) -> tuple[str, list[str]]:
    """The metric that chooses the best checkpoint, and what people should know of the choice.

    Raises UserError for a metric in the spec that this run will not have.
    """
    known = ["train/loss"]
    if inputs.info.rows["validation"]:
        known += [f"validation/{name}" for name in scalar_names(inputs.program.task)]
    spec, notes = inputs.spec, list[str]()
    chosen = spec.checkpoint.metric
    if chosen == "validation/loss" and not inputs.info.rows["validation"]:  # the default
        chosen = "train/loss"
        notes.append("There is no validation part, so train/loss chose the best checkpoint.")
    asked = {"training.checkpoint.metric": chosen}
    if spec.early_stopping is not None:
        asked["training.earlyStopping.metric"] = spec.early_stopping.metric
    if inputs.info.rows["validation"]:
        known += [name for name in asked.values() if of_another_package(name.removeprefix("validation/"))]
    for where, name in asked.items():
        if name not in known:
            raise UserError(f"{where}: there is no metric {name}; this run has {', '.join(known)}")
    return chosen, notes
