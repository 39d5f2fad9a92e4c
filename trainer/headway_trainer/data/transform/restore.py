"""From features back to numbers of the source, of those features that are numbers of the source themselves. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.data.transform.chain import ArrayChain, Chain, TableChain
from headway_trainer.data.transform.scale import Scale

Floats = npt.NDArray[np.float64]


class Restore(StatusSection):
    """Which features have a unit, and how they get it back. Of classes, times and words there is no such number."""

    row_shape: tuple[int, ...]
    """The shape of one row of what is given back."""
    names: list[str] = Field(default_factory=list)
    """What its numbers are called; empty for images and series."""
    places: list[int] | None = None
    """Their places among the features; none where they are all of them, in the shape of a row."""
    scale: Scale = Scale()
    """How these features were scaled."""

    @staticmethod
    def of(chain: Chain | None, input_shape: tuple[int, ...]) -> Restore:
        """What can be given back of the features of a chain; without one, the features as they are."""
        if isinstance(chain, TableChain):
            return _of_table(chain)
        if not isinstance(chain, ArrayChain):
            return Restore(row_shape=input_shape)
        names = chain.names or [f"{chain.tensor.name}[{index}]" for index in range(input_shape[0])]
        return Restore(row_shape=input_shape, names=names if len(input_shape) == 1 else [], scale=chain.scale)

    @property
    def statistics(self) -> tuple[Floats, Floats] | None:
        """offset and divisor, shaped to go with rows: a number is `feature * divisor + offset`. None: as it is."""
        if self.scale.method == "none":
            return None
        offset, divisor = self.scale.statistics(self.row_shape, np.dtype(np.float64))
        return offset.astype(np.float64), divisor.astype(np.float64)


def _of_table(chain: TableChain) -> Restore:
    kept: list[tuple[int, str]] = []
    place = 0
    for transform in chain.transforms:
        if transform.kind in ("number", "vector"):
            kept += [(place + index, name) for index, name in enumerate(transform.outputs)]
        place += len(transform.outputs)
    places = [index for index, _ in kept]
    scale = chain.scale
    if scale.method != "none":
        offset, divisor = ([values[index] for index in places] for values in (scale.offset, scale.divisor))
        scale = scale.model_copy(update={"offset": offset, "divisor": divisor})
    return Restore(row_shape=(len(kept),), names=[name for _, name in kept], places=places, scale=scale)
