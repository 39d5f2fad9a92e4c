"""What a program's step logs by name: the mean of each over the rows of the running epoch, on all ranks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import torch

from headway_trainer.errors import UserError
from headway_trainer.training.process_group import Group

MOST_NAMES = 16
"""They are all in the status of a job, which is bounded."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


class Logged:
    """Sums over this rank's rows. A name that is logged several times in a step is averaged over these, too."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, torch.Tensor] = {}
        """float64 (): of each name, its values, each times the rows that it is the mean of."""
        self._rows: dict[str, int] = {}

    def add(self, name: str, value: torch.Tensor | float, rows: int) -> None:
        """Take in a mean over so many rows. Raises UserError for a name or a value that cannot be told."""
        if name not in self._sums:
            self._refuse(name)
            self._sums[name] = torch.zeros((), dtype=torch.float64, device=self._device)
            self._rows[name] = 0
        told = torch.as_tensor(value).detach()
        if told.shape != ():
            raise UserError(f"turn.log({name!r}, ...) was given {tuple(told.shape)}: give one number, a mean over rows")
        self._sums[name].add_(told.to(self._device), alpha=rows)
        self._rows[name] += rows

    def _refuse(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise UserError(
                f"turn.log was given the name {name!r}: begin with a letter, and write letters, digits, '_'"
            )
        if name == "loss":
            raise UserError("turn.log was given the name 'loss', which is what step returns: choose another name")
        if len(self._sums) == MOST_NAMES:
            raise UserError(f"turn.log was given more than {MOST_NAMES} names, last {name!r}: log fewer")

    def means(self) -> dict[str, float]:
        """Of this rank's rows so far."""
        return {name: self._sums[name].item() / rows for name, rows in self._rows.items() if rows}

    def over_ranks(self, group: Group) -> dict[str, float]:
        """Of the rows of all ranks, in the order of their names. Every rank has to call it, whatever it has logged."""
        if not int(group.sum(torch.tensor([len(self._sums)])).item()):
            return {}
        names = sorted({name for one in group.gather(json.dumps(list(self._sums))) for name in json.loads(one)})
        nothing = torch.zeros((), dtype=torch.float64)
        sums = [self._sums[name].cpu() if name in self._sums else nothing for name in names]
        rows = torch.tensor([self._rows.get(name, 0) for name in names], dtype=torch.float64)
        total, count = group.sum(torch.stack([torch.stack(sums), rows])).tolist()
        return {name: one / rows for name, one, rows in zip(names, total, count, strict=True) if rows}

    def clear(self) -> None:
        """Begin the next epoch."""
        self._sums.clear()
        self._rows.clear()

    def state(self) -> dict[str, tuple[float, int]]:
        """The sum and the rows of each name, for a checkpoint."""
        return {name: (self._sums[name].item(), rows) for name, rows in self._rows.items()}

    def restore(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Go on from what a checkpoint holds."""
        self.clear()
        for name, (total, rows) in state.items():
            self._sums[name] = torch.tensor(total, dtype=torch.float64, device=self._device)
            self._rows[name] = rows
