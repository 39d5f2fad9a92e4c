"""Where the time went, as a section of `report.md`. Pure."""

from __future__ import annotations

from headway_trainer.report.marks import table
from headway_trainer.report.model import TimeSpent


def time_section(time: TimeSpent | None, *, in_cluster: bool) -> str:
    """The section; "" where nothing was counted."""
    if time is None or time.goodput is None:
        return ""
    total = sum(time.seconds.values())
    rows = [(state, f"{spent:,.1f}", f"{spent / total:.1%}") for state, spent in time.seconds.items() if spent]
    rows.sort(key=lambda row: -time.seconds[row[0]])
    counted = f"{time.counted} of {time.attempts} attempts" if time.attempts > 1 else "its one attempt"
    told = [f"Goodput: {time.goodput:.1%} of the {total:,.1f} s that the driver has counted, in {counted}."]
    if time.validating_seconds:  # passes that are soon over are not seen, so zero says nothing
        told.append(f"Of the productive seconds at least {time.validating_seconds:,.1f} went into validation.")
    if time.waiting_for_rows_seconds is not None:
        told.append(f"For {time.waiting_for_rows_seconds:,.1f} s the first training process waited for rows.")
    told += [f"{time.steps_again:,} steps were lost and done again."] if time.steps_again else []
    if time.between_seconds:
        told.append(
            f"Between attempts were {time.between_seconds:,.1f} s: suspended, queued, starting, and what went unnoted"
            " at an attempt's end. The driver cannot tell these apart."
        )
    if in_cluster:
        told.append("How long the job waited for room and started is in its status: `headway report` adds that.")
    table_of = table(("what", "seconds", "share"), rows)
    return f"## Where the time went\n\n{table_of}\n{' '.join(told)}\n"
