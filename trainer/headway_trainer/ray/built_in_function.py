"""What runs in each training process: it fits the job's model by the estimator that `model.name` asks for, and judges
and exports what comes of it."""

from __future__ import annotations

from typing import Any

from torch import distributed

from headway_api import wire
from headway_api.understand import read_run_file
from headway_trainer.data import DataInfo
from headway_trainer.entrypoints import add_to_path
from headway_trainer.errors import StorageError, UserError
from headway_trainer.estimators.base import Estimator, Place
from headway_trainer.estimators.judge import judge
from headway_trainer.estimators.loop import LoopEstimator
from headway_trainer.ray.device import own_device
from headway_trainer.ray.kv_link import WorkerLink
from headway_trainer.ray.stock import stock
from headway_trainer.registry import estimator_name
from headway_trainer.storage import Store
from headway_trainer.training.exceptions import raise_as_users
from headway_trainer.training.link import Link, Silence, TrainEnd, TrainProgress
from headway_trainer.training.precision import make_reproducible
from headway_trainer.training.process_group import current_group


def train(config: dict[str, Any]) -> dict[str, Any] | None:
    """The built-in training function. Rank 0 returns a TrainEnd.

    config: `run` and `info` as JSON, `secret_dir`, `code_dir`, `threads`, `scope`, `rows_uri`, `compared_at`,
    `until`.
    """
    run = read_run_file(config["run"])
    info = DataInfo.model_validate_json(config["info"])
    make_reproducible(config["threads"])
    add_to_path(config["code_dir"])
    link: Link = WorkerLink(config["scope"]) if distributed.get_rank() == 0 else Silence()
    try:
        code_dir = config["code_dir"] or wire.CODE_DIR
        store, device = Store.open(run.storage_uri, config["secret_dir"]), own_device()
        rows_uri = config["rows_uri"]
        end = _train(
            Place(
                run=run,
                info=info,
                store=store,
                device=device,
                group=current_group(device),
                link=link,
                threads=config["threads"],
                code_dir=code_dir,
                scope=config["scope"],
                rows_of=None if rows_uri is None else Store.open(rows_uri, config["secret_dir"]),
                compared_at=frozenset(config["compared_at"]),
                until=config["until"],
            )
        )
    except (UserError, StorageError):
        raise
    except Exception as error:
        raise_as_users(error)
        raise
    finally:
        link.close()
    return None if end is None else end.model_dump(mode="json")


def _estimator(place: Place) -> Estimator:
    if estimator_name(place.run.spec.model) is not None:
        # Imported here, as what it needs takes a second, which nobody's first step is to wait for.
        from headway_trainer.estimators.member_estimator import MemberEstimator

        return MemberEstimator()
    return LoopEstimator(stub=not stock())


def _train(place: Place) -> TrainEnd | None:
    first = place.group.rank == 0
    fitted = _estimator(place).fit(place)
    if isinstance(fitted, TrainEnd):
        return fitted if first else None
    end = fitted.end
    place.link.tell(
        TrainProgress(
            stage="Evaluating",
            epoch=end.epochs_run,
            epochs=end.epochs_run,
            step=end.step,
            done=1,
            planned=1,
            checkpoint=end.checkpoint,
            resumed_from_step=end.resumed_from_step,
            notes=end.notes,
        )
    )
    judged = judge(place, fitted)
    if first and not place.scope and "onnx" in place.run.spec.export.formats:
        judged = judged.model_copy(update={"export": fitted.export()})
    return judged if first else None
