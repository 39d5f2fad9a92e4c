"""Which device a training process works on."""

from __future__ import annotations

import os

import ray
import torch


def own_device() -> torch.device:
    """The GPU that Ray has lent to this process, by its place in CUDA_VISIBLE_DEVICES; the CPU if none.

    As `ray.train.torch.get_device`, without the import of Ray Train's trainers, which takes a second. Raises
    RuntimeError where CUDA_VISIBLE_DEVICES leaves the lent GPU out.
    """
    lent = [str(one) for one in ray.get_gpu_ids()]
    if not lent:
        return torch.device("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if lent[0] not in visible:
        raise RuntimeError(
            f"CUDA_VISIBLE_DEVICES is {','.join(visible)!r} and leaves out GPU {lent[0]}, which this process was given"
        )
    return torch.device("cuda", visible.index(lent[0]))
