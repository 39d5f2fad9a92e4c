"""Whether an exported model says of raw rows what the trained one says. Pure but for the two models."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headway_api.bundle import ANOMALY_SCORE, PROBABILITIES, VALUE, Parity
from headway_trainer.data.info import DataInfo
from headway_trainer.data.sample import Rows
from headway_trainer.data.transform.restore import Restore

TOLERANCE = 1e-4
"""In probabilities, or in standard deviations of a target (of a value beyond one of them, in parts of it)."""
_BATCH = 64


def trained(model: nn.Module, info: DataInfo, rows: Rows) -> npt.NDArray[np.float64]:
    """What the trained model, on the CPU and in evaluation mode, says of raw rows: probabilities (rows, classes), or
    values (rows, outputs) in standard deviations from the mean. Of a forecast, rows are windows, one after another; of
    a reconstruction, the score and the features that have a unit, as the model gives them, side by side."""
    if info.transforms is None:
        raise ValueError("no rows were prepared")
    features = torch.from_numpy(info.transforms.apply(rows)).reshape(-1, *info.input_shape)
    with torch.inference_mode():
        outputs = torch.cat([model(batch).float().reshape(len(batch), -1) for batch in torch.split(features, _BATCH)])
    if info.task == "reconstruction":
        scores = (outputs.double() - features.flatten(1).double()).square().mean(dim=1, keepdim=True)
        places = Restore.of(info.transforms, info.input_shape).places
        return torch.cat([scores, outputs.double() if places is None else outputs[:, places].double()], dim=1).numpy()
    said = outputs.softmax(dim=1) if info.classes is not None else outputs
    return said.double().numpy()


def compare(expected: npt.NDArray[np.float64], said: dict[str, npt.NDArray[Any]], info: DataInfo) -> Parity:
    """Compare what `trained` gives with the exported model's outputs by their names."""
    if info.classes is not None:
        return difference(expected, said[PROBABILITIES].astype(np.float64), classes=True)
    if info.task == "reconstruction":
        return difference(expected, _reconstructed(said, info), classes=False)
    found = (said[VALUE] - np.array(info.target_mean)) / np.array(info.target_std)
    return difference(expected, found.reshape(expected.shape), classes=False)


def difference(expected: npt.NDArray[np.float64], found: npt.NDArray[np.float64], *, classes: bool) -> Parity:
    """Compare what two forms of a model say: probabilities (rows, classes), or standardised values (rows, targets)."""
    if classes:
        allowed = np.full_like(expected, TOLERANCE)
        agreement = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    else:
        allowed = TOLERANCE * np.maximum(1.0, np.abs(expected))
        agreement = 1.0
    apart = np.abs(found - expected)
    equal = (apart <= allowed) | (np.isnan(found) & np.isnan(expected)) | (found == expected)
    greatest = float(apart.max(initial=0.0))
    return Parity(
        rows=len(expected),
        max_difference=greatest if np.isfinite(greatest) else None,
        agreement=agreement,
        tolerance=TOLERANCE,
        holds=bool(equal.all()),
    )


def _reconstructed(said: dict[str, npt.NDArray[Any]], info: DataInfo) -> npt.NDArray[np.float64]:
    """An exported reconstruction's outputs as `trained` has them."""
    scores = said[ANOMALY_SCORE].reshape(-1, 1).astype(np.float64)
    if VALUE not in said:
        return scores
    restore, values = Restore.of(info.transforms, info.input_shape), said[VALUE]
    if restore.statistics is not None:
        offset, divisor = restore.statistics
        values = (values - offset) / divisor
    return np.concatenate([scores, values.reshape(len(values), -1)], axis=1)
