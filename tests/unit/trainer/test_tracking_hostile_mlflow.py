"""What MLflow's server may answer, and names that MLflow makes the same."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from headway_api.tracking import MLflow
from headway_trainer.tracking.events import Began, Point
from headway_trainer.tracking.trackers.base import DownError
from headway_trainer.tracking.trackers.mlflow_server import MLflowServer
from nonsense_server import answering


class Service:
    """MLflow's client, as far as it is used here."""

    def __init__(self) -> None:
        self.params: dict[str, str] = {}
        self.metrics: list[tuple[str, float]] = []
        self.looked = 0

    def get_experiment_by_name(self, _name: str) -> Any:
        self.looked += 1
        return None if self.looked == 1 else type("Experiment", (), {"experiment_id": "7"})

    def create_experiment(self, name: str) -> str:
        raise MlflowException(f"Experiment {name} already exists", error_code=3001)

    def search_runs(self, experiments: list[str], **_: object) -> list[Any]:
        assert experiments == ["7"]
        return [type("Run", (), {"info": type("Info", (), {"run_id": "r"})})]

    def log_batch(self, _run: str, *, params: Any = (), metrics: Any = (), tags: Any = ()) -> None:  # noqa: ARG002 - the client's
        names = [each.key for each in params]
        assert len(set(names)) == len(names), "MLflow refuses a request with a name that is there twice"
        self.params |= {each.key: each.value for each in params}
        self.metrics += [(each.key, each.value) for each in metrics]


def served(service: Service) -> MLflowServer:
    made = MLflowServer(MLflow(uri="http://127.0.0.1:5000"), "job")
    made._client = service  # type: ignore[assignment]  # as far as it is used
    return made


NAMES = {"loss@1": 1.0, "loss#1": 2.0, "loss_1": 3.0, "a/../b": 4.0}


def test_names_that_mlflow_makes_the_same_stay_different() -> None:
    service = Service()
    tracker = served(service)
    parameters = {name: str(value) for name, value in NAMES.items()}
    known = tracker.begin(Began(scope="", name="x", identity="i", parameters=parameters, at=1.0), None, None)
    tracker.points(known, [Point(scope="", step=1, values=NAMES, at=1.0)])
    assert service.params == {"loss_1_8cf9c52f": "1.0", "loss_1_c1689598": "2.0", "loss_1": "3.0", "b": "4.0"}
    assert dict(service.metrics) == {name: float(value) for name, value in service.params.items()}


def test_an_experiment_that_another_job_makes_at_the_same_moment_is_taken() -> None:
    service = Service()
    assert served(service)._experiment_id() == "7"
    assert service.looked == 2


BEGAN = Began(scope="", name="x", identity="i", at=1.0)


@pytest.mark.parametrize("how", ["redirect", "garbage", "wrong", "cut"])
def test_a_server_that_answers_nonsense_is_down_and_its_redirects_are_not_followed(how: str) -> None:
    with answering(how) as (uri, asked):
        tracker = MLflowServer(MLflow(uri=uri), "job")
        with pytest.raises(DownError) as caught:
            tracker.begin(BEGAN, None, None)
    assert asked == ["/api/2.0/mlflow/experiments/get-by-name?experiment_name=job"]
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()
