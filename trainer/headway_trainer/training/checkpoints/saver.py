"""When a checkpoint is due, and how the ranks write one together."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch
from torch import nn

from headway_api.bundle import FileDigest
from headway_api.status import CheckpointStatus
from headway_api.training import Checkpoint
from headway_trainer.errors import StorageError
from headway_trainer.storage import Pieces
from headway_trainer.training.checkpoints import state as states
from headway_trainer.training.checkpoints.best import BEST_FILE, BestWeights
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, Manifest, folder_name, now
from headway_trainer.training.checkpoints.tensors import Tensors, pieces
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.optimizers import optimizer_tensors

LEAST_SECONDS = 10.0
"""The time between two checkpoints where the spec gives no rhythm, and saving is quick."""
COST_SHARE = 1 / 25
"""The share of the time that saving may take where the spec gives no rhythm."""


def seconds_between(spec: Checkpoint, cost: float) -> float | None:
    """The seconds from the end of one checkpoint to the next, where the last took `cost` seconds; none where steps
    decide."""
    if spec.every_steps is not None:
        return None
    if spec.every_seconds is not None:
        return float(spec.every_seconds)
    return max(LEAST_SECONDS, cost / COST_SHARE)


class Saver:
    """One rank's part in the checkpoints of a run."""

    def __init__(self, inputs: LoopInputs) -> None:
        self._inputs = inputs
        self._spec = inputs.spec.checkpoint
        self._last = inputs.clock()
        self._cost = 0.0
        """How long the last one took, in seconds."""
        self.seconds = 0.0
        """How long all of them took."""

    def find(self) -> tuple[Manifest | None, list[str]]:
        """The checkpoint that all ranks begin from, as rank 0 chose it, and what people should know of the choice."""
        inputs = self._inputs
        chosen, notes = [-1, 0], list[str]()
        if inputs.group.rank == 0:
            inputs.checkpoints.claim()
            found = inputs.checkpoints.newest()
            inputs.checkpoints.clear_after(found.manifest)
            notes = found.notes
            if found.manifest is not None:
                chosen = [found.manifest.step, found.manifest.attempt]
        step, attempt = inputs.group.from_first(chosen)
        return (None if step < 0 else inputs.checkpoints.named(folder_name(step, attempt))), notes

    def due_after(self, step: int) -> bool:
        """Whether the rhythm of steps asks for a checkpoint."""
        return self._spec.every_steps is not None and step % self._spec.every_steps == 0

    def overdue(self) -> bool:
        """Whether the rhythm of seconds asks for one, by this rank's clock: rank 0's decides."""
        seconds = seconds_between(self._spec, self._cost)
        return seconds is not None and self._inputs.clock() - self._last >= seconds

    def save(
        self,
        state: SharedState,
        own: states.RankState,
        tensors: TrainingTensors,
        metrics: dict[str, float],
    ) -> CheckpointStatus | None:
        """Write this rank's part; rank 0 then completes the checkpoint, and gets its status. Raises StorageError."""
        began = self._inputs.clock()
        try:
            return self._save(state, own, tensors, metrics)
        except StorageError:
            self._inputs.checkpoints.discard(state.step)
            raise
        finally:
            self._last = self._inputs.clock()
            self._cost = self._last - began
            self.seconds += self._cost

    def _save(
        self,
        state: SharedState,
        own: states.RankState,
        tensors: TrainingTensors,
        metrics: dict[str, float],
    ) -> CheckpointStatus | None:
        inputs, rank = self._inputs, self._inputs.group.rank
        best = tensors.best.told(state.step)
        parts = {
            states.rank_file(rank): _text(own.model_dump_json()),
            states.rank_tensors_file(rank): _tensors(states.generator_states(inputs.device)),
        }
        if rank == 0:
            parts[MODEL_FILE] = _tensors(tensors.model.state_dict())
            parts[states.OPTIMIZER_FILE] = _tensors(optimizer_tensors(tensors.optimizers))
            parts[STATE_FILE] = _text(state.model_dump_json())
            if best is not None and best.file == BEST_FILE:
                parts[BEST_FILE] = _tensors(tensors.best.tensors)
        written = inputs.checkpoints.write_parts(state.step, parts)
        gathered = inputs.group.gather("\n".join(digest.model_dump_json() for digest in written))
        if rank != 0:
            return None
        files = [FileDigest.model_validate_json(line) for text in gathered for line in text.splitlines()]
        manifest = Manifest(
            step=state.step,
            epoch=state.epoch,
            batch=state.batch,
            attempt=inputs.checkpoints.attempt,
            world_size=inputs.group.world_size,
            threads=torch.get_num_threads(),
            time=now(),
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            best=best,
            files=sorted(files, key=lambda file: file.name),
        )
        return inputs.checkpoints.commit(manifest)


class TrainingTensors:
    """The tensors of a run that its checkpoints hold."""

    def __init__(self, model: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        self.model = model
        self.optimizers = optimizers
        self.best = BestWeights()
        """Rank 0's alone; empty elsewhere."""


def _text(text: str) -> Pieces:
    return lambda: [text.encode()]


def _tensors(tensors: Tensors) -> Pieces:
    return functools.partial(pieces, tensors)
