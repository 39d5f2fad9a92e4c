"""Whether series are of sizes that one scale does not fit. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headway_trainer.data.forecast.series import Series

MOST_TIMES = 100
"""Where one series is so many times another, what the small one does is lost beside the large one."""


def size_warnings(
    targets: dict[str, npt.NDArray[np.float64]], series: Series, train: npt.NDArray[np.bool_]
) -> list[str]:
    """A sentence for each target that is far larger in one series than in another, over the rows of training.

    targets: by name, (rows,), in the order of the series; NaN where one is missing. train (rows,): whether a row is one
    of training. Series of zeros alone are of no size.
    """
    told = []
    for name, values in targets.items():
        known = train & np.isfinite(values)
        rows = np.bincount(series.series[known], minlength=len(series.names))
        sums = np.bincount(series.series[known], np.abs(values[known]), minlength=len(series.names))
        sizes = np.divide(sums, rows, out=np.zeros(len(rows)), where=rows > 0)
        there = np.flatnonzero(sizes > 0)
        if not len(there):
            continue
        least, most = there[np.argmin(sizes[there])], there[np.argmax(sizes[there])]
        if sizes[most] > MOST_TIMES * sizes[least]:
            told.append(
                f"{name!r} is {sizes[most]:.3g} on average in the series {series.names[most]!r} and {sizes[least]:.3g} "
                f"in {series.names[least]!r}, and all series have one scale, on which the small ones are hardly learnt:"
                " give logarithms, or shares of each series' mean."
            )
    return told
