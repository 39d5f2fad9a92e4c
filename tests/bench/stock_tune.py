"""`python -m bench.stock_tune SPEC ROWS INFO TRIALS REUSE`: the trials of a job under `ray.tune.Tuner` as it comes.

Each trains the same model by the same loop on the same prepared rows, in a process that Ray Tune gives it; its learning
rate is drawn as the job's is. REUSE: 1 for `reuse_actors`, which keeps the processes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

PARAMETER = "training.optimizer.lr"


def main(spec: str, rows: str, info: str, trials: str, reuse: str) -> None:
    """Run them, two at once on a core each."""
    import ray
    from ray import tune

    bounds = _job(spec, rows, info).tuning.parameters[PARAMETER].log_uniform
    assert bounds is not None

    def trial(config: dict[str, float]) -> None:
        import torch

        from headway_trainer.training.link import Silence

        torch.set_num_threads(1)
        values = _job(spec, rows, info).trained({PARAMETER: config["lr"]}, Silence(), frozenset())
        tune.report({"accuracy": max(values)})

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"lr": tune.loguniform(bounds.min, bounds.max)},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=int(trials),
                max_concurrent_trials=2,
                reuse_actors=reuse == "1",
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        print(tuner.fit().get_best_result().metrics["accuracy"])
    ray.shutdown()


def _job(spec: str, rows: str, info: str) -> Any:
    from bench.trials import Job
    from headway_api.job import TrainingJobSpec
    from headway_trainer.data import DataInfo
    from headway_trainer.storage import Store

    parsed = TrainingJobSpec.model_validate_json(Path(spec).read_bytes())
    return Job(parsed, DataInfo.model_validate_json(Path(info).read_bytes()), Store.open(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
