"""Which rows a rank sees in which optimiser step. Pure.

Each rank shuffles its own shard by (seed, epoch, rank) and cuts it into as many batches as there are steps in an epoch,
sizes equal to within one row. So every row is seen exactly once an epoch, all ranks take the same number of steps, and
nothing is padded or left out. Steps are weighted by their rows (`loss_weight`), so that the gradient that DDP averages
is the mean over the global batch's rows, whatever the shards' sizes.
"""

from __future__ import annotations

from headway_trainer.errors import UserError


def shard_rows(rows: int, rank: int, world_size: int) -> int:
    """The rows of a rank's shard, as `data.read_split` cuts it."""
    return (rank + 1) * rows // world_size - rank * rows // world_size


def steps_per_epoch(rows: int, batch_size: int, world_size: int) -> int:
    """Optimiser steps of an epoch: the least number whose batches hold at most about batch_size rows of all ranks.

    At least one row a rank and step. Raises UserError where there are fewer rows than ranks.
    """
    if rows < world_size:
        raise UserError(
            f"the training part has {rows} rows for {world_size} training processes: "
            "give more rows, raise data.split.train, or lower workers.replicas or workers.processes"
        )
    return max(1, min(-(-rows // batch_size), rows // world_size))


def equal_batches(rows: int, batch_size: int, rank: int, world_size: int) -> list[tuple[tuple[int, int], float]]:
    """The batches of a pass for one rank: where each begins and ends in its shard, and its `loss_weight`.

    Every rank has as many; none where there are no rows. Raises UserError for fewer rows than ranks.
    """
    if rows == 0:
        return []
    steps, own = steps_per_epoch(rows, batch_size, world_size), shard_rows(rows, rank, world_size)
    bounds = [batch_bounds(own, steps, batch) for batch in range(steps)]
    totals = [global_batch_rows(rows, world_size, steps, batch) for batch in range(steps)]
    return [
        ((start, stop), loss_weight(stop - start, total, world_size))
        for (start, stop), total in zip(bounds, totals, strict=True)
    ]


def batch_bounds(rows: int, steps: int, batch: int) -> tuple[int, int]:
    """Where batch number `batch` begins and ends in a shard's order."""
    return batch * rows // steps, (batch + 1) * rows // steps


def global_batch_rows(rows: int, world_size: int, steps: int, batch: int) -> int:
    """The rows of a step over all ranks."""
    short = rows // world_size
    longer = rows % world_size
    sizes = [stop - start for start, stop in (batch_bounds(size, steps, batch) for size in (short, short + 1))]
    return (world_size - longer) * sizes[0] + longer * sizes[1]


def loss_weight(local_rows: int, global_rows: int, world_size: int) -> float:
    """What a rank's mean loss is multiplied by, so that the mean of all ranks' gradients is the global batch's."""
    return local_rows * world_size / global_rows
