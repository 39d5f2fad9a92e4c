"""What a run leaves for programs and for people: `result.json`, and `report.md` with plots."""

from headway_trainer.report.model import RunResult
from headway_trainer.report.write import write_report

__all__ = ["RunResult", "write_report"]
