"""Prints the JSON schema of `result.json`; with the argument `trial`, of a trial's."""

import sys

from headway_trainer.report.model import result_schema
from headway_trainer.report.trial_files import trial_schema

print(trial_schema() if sys.argv[1:] == ["trial"] else result_schema(), end="")
