"""Mixed precision on GPUs, and reproducible arithmetic everywhere."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import torch

from headway_api.training import Precision

if TYPE_CHECKING:
    from headway_trainer.training.process_group import Group

_LEAST_FIRST: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
"""What fewer devices can do comes later."""
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def usable_precision(asked: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision that the device trains in, and a sentence for people where it is not the one asked for."""
    if asked == "fp32":
        return "fp32", None
    if device.type != "cuda":
        return "fp32", f"training.precision {asked} was asked for, but a CPU trains in fp32: that is what it did."
    if asked == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp16", "training.precision bf16 was asked for, but this GPU has no bf16: it trained in fp16."
    return asked, None


def agreed_precision(asked: Precision, device: torch.device, group: Group) -> tuple[Precision, str | None]:
    """As usable_precision, for all ranks: what each of their devices can do. Every rank has to call it."""
    if asked == "fp32":
        return "fp32", None
    own, note = usable_precision(asked, device)
    usable = group.gather(own)
    least = next(one for one in _LEAST_FIRST if one in usable)
    if least == own:
        return own, note
    return (
        least,
        f"training.precision {asked} was asked for, but not every worker's GPU has it: all trained in {least}.",
    )


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """The context of the forward pass."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_TYPES[precision])


def grad_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss so that small fp16 gradients do not vanish; does nothing in the other precisions."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def make_reproducible(threads: int) -> None:
    """Sums in the same order on each machine: the number of threads fixed, deterministic kernels where they exist."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms(True, warn_only=True), which imports the compiler to tell it, too.
    torch.set_deterministic_debug_mode("warn")
    # It would write over memory that is about to be written anyway, at each allocation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a module property
    torch.backends.cudnn.benchmark = False
