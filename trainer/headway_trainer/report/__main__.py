"""Prints the JSON schema of `result.json`."""

from headway_trainer.report.model import result_schema

print(result_schema(), end="")
