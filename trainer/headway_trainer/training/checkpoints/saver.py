"""When a checkpoint is due, and how the ranks write one together."""

from __future__ import annotations

import math

import torch
from torch import nn

from headway_api.status import CheckpointStatus
from headway_trainer.errors import StorageError
from headway_trainer.storage import FileDigest
from headway_trainer.training.checkpoints import state as states
from headway_trainer.training.checkpoints.store import MODEL_FILE, Manifest, folder_name, now
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.optimizers import optimizer_tensors


class Saver:
    """One rank's part in the checkpoints of a run."""

    def __init__(self, inputs: LoopInputs) -> None:
        self._inputs = inputs
        self._spec = inputs.spec.checkpoint
        self._last = inputs.clock()

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
        """Whether the rhythm of steps asks for a checkpoint within a pass."""
        return self._spec.every_steps is not None and step % self._spec.every_steps == 0

    def due_after_epoch(self, step: int) -> bool:
        """Whether the rhythm asks for a checkpoint at the end of a pass."""
        return self.due_after(step) or (self._spec.every_steps is None and self._spec.every_seconds is None)

    def overdue(self) -> bool:
        """Whether the rhythm of seconds asks for one, by this rank's clock: rank 0's decides."""
        return self._spec.every_seconds is not None and self._inputs.clock() - self._last >= self._spec.every_seconds

    def save(
        self,
        state: states.SharedState,
        own: states.RankState,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        metrics: dict[str, float],
    ) -> CheckpointStatus | None:
        """Write this rank's part; rank 0 then completes the checkpoint, and gets its status. Raises StorageError."""
        try:
            return self._save(state, own, model, optimizer, metrics)
        except StorageError:
            self._inputs.checkpoints.discard(state.step)
            raise

    def _save(
        self,
        state: states.SharedState,
        own: states.RankState,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        metrics: dict[str, float],
    ) -> CheckpointStatus | None:
        inputs, rank = self._inputs, self._inputs.group.rank
        parts = {
            states.rank_file(rank): own.model_dump_json().encode(),
            states.rank_tensors_file(rank): states.tensors_bytes(states.generator_states(inputs.device)),
        }
        if rank == 0:
            parts[MODEL_FILE] = states.model_bytes(model)
            parts[states.OPTIMIZER_FILE] = states.tensors_bytes(optimizer_tensors(optimizer))
            parts[states.STATE_FILE] = state.model_dump_json().encode()
        written = [inputs.checkpoints.write_part(state.step, name, data) for name, data in parts.items()]
        gathered = inputs.group.gather("\n".join(digest.model_dump_json() for digest in written))
        self._last = inputs.clock()
        if rank != 0:
            return None
        files = [FileDigest.model_validate_json(line) for text in gathered for line in text.splitlines()]
        manifest = Manifest(
            step=state.step,
            epoch=state.epoch,
            batch=state.batch,
            attempt=inputs.checkpoints.attempt,
            world_size=inputs.group.world_size,
            time=now(),
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            files=sorted(files, key=lambda file: file.name),
        )
        return inputs.checkpoints.commit(manifest)
