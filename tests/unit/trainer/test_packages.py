"""Models, estimators and metrics of other packages: found by name, judged by what they declare, and blamed by name."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headway_api.consistency import not_judged
from headway_api.evaluation import Gate
from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_api.validate import problems_of
from headway_trainer.data import DataInfo
from headway_trainer.declared import NamedMetric
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import Form, Linear
from headway_trainer.estimators.package_member import PackageMember
from headway_trainer.evaluation import chosen_metrics
from headway_trainer.export.estimator_body import body_of
from headway_trainer.metrics.packages import PackageValues
from headway_trainer.registry import package_metric
from headway_trainer.report.gates import judge
from headway_trainer.report.model import Metrics
from headway_trainer.resolve_names import better_of, resolve_names
from headway_trainer.tasks import task_of
from headway_trainer.tasks.tasks import epoch_metrics
from headway_trainer.training.process_group import Alone

CODE = """\
from pathlib import Path

Path(__file__).with_suffix(".imported").touch()

import numpy as np
from pydantic import BaseModel, Field

from headway_trainer import NamedMetric, NamedModel
from headway_trainer.estimators.form import Form, Linear

error = NamedMetric(
    tasks=["regression", "forecasting"], better="min", least=0.0,
    sums=lambda predicted, actual: (predicted - actual).abs().sum(), value=lambda total: total,
)
hits = NamedMetric(
    tasks=["classification"], better="max", least=0.0, most=1.0,
    rows=lambda predicted, actual: predicted.argmax(dim=1) == actual, value=lambda rows: rows.mean(),
)


class Options(BaseModel):
    depth: int = Field(default=2, ge=1)


class Fits:
    def __init__(self, info, options, *, seed, threads):
        self.outputs_of = info.outputs

    def fit(self, x, y, weights):
        self.linear = Linear(np.zeros((x.shape[1], self.outputs_of)), np.zeros(self.outputs_of))
        return Form(self.linear, "values", self.outputs_of)

    def outputs(self, x):
        return np.zeros((len(x), self.outputs_of))


def plain(info, **options):
    raise ValueError("no such depth")


network = NamedModel(build=plain, options=Options, tasks=["classification"], rows=["image"])
estimator = NamedModel(build=Fits, options=Options, tasks=["regression"], rows=["table"])
number = 5
"""
POINTS = {
    "headway.models": {"acme.network": "network", "acme.number": "number", "acme.gone": "gone", "acme.both": "network"},
    "headway.estimators": {
        "acme.estimator": "estimator", "acme.plain": "plain", "acme.both": "estimator", "linear": "estimator",
    },
    "headway.metrics": {"acme.error": "error", "acme.hits": "hits", "acme.model": "network", "f1": "hits"},
}  # fmt: skip
DIABETES: dict[str, Any] = {"source": {"builtin": {"name": "diabetes"}}}
DIGITS: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is installed in a folder of its own."""
    (tmp_path / "acme_code.py").write_text(CODE)
    (tmp_path / "acme_broken.py").write_text("import no_such_module\n")
    (tmp_path / "acme_wrong.py").write_text(
        "from headway_trainer import NamedMetric\n"
        "metric = NamedMetric(tasks=['ranking'], better='min', sums=sum, value=float)\n"
    )
    _install(tmp_path, "acme", {group: _of("acme_code", points) for group, points in POINTS.items()})
    broken = {"headway.metrics": {"broken.import": "acme_broken:x", "broken.tasks": "acme_wrong:metric"}}
    _install(tmp_path, "broken", broken)
    monkeypatch.syspath_prepend(tmp_path)
    package_metric.cache_clear()
    yield tmp_path
    package_metric.cache_clear()
    for name in ("acme_code", "acme_broken", "acme_wrong"):
        sys.modules.pop(name, None)


def _of(module: str, points: dict[str, str]) -> dict[str, str]:
    return {name: f"{module}:{attribute}" for name, attribute in points.items()}


def _install(folder: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    meta = folder / f"{name}-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (meta / "entry_points.txt").write_text("\n".join(lines) + "\n")


DEPTHS: dict[str, Any] = {"parameters": {"model.options.depth": {"choice": [1, 2]}}}


def _spec(data: dict[str, Any] = DIABETES, model: str = "mlp", **fields: Any) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate({"data": data, "model": {"name": model}, "training": {}, **fields})


def _metric(*names: str) -> dict[str, Any]:
    return {"evaluation": {"metrics": list(names)}}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (_spec(model="acme.other"), r"model.name acme.other is not in this image, which has acme.both, acme.estimator"),
        (_spec(model="acme.number"), "model.name acme.number is acme_code:number, which is no function, and no"),
        (_spec(model="acme.gone"), "model.name acme.gone cannot be imported from acme_code:gone: AttributeError"),
        (_spec(model="acme.plain"), "model.name acme.plain is acme_code:plain, which is no headway_trainer.NamedModel"),
        (_spec(model="acme.both"), "acme.both is given by several packages, as acme_code:estimator and acme_code:net"),
        (_spec(model="linear"), "model.name linear is Headway's own, and acme_code:estimator gives it, too: uninstall"),
        (
            _spec(**_metric("mae", "acme.others")),
            r"evaluation.metrics\[1\] acme.others is not in this image, which has accuracy, acme.error, acme.hits",
        ),
        (
            _spec(**_metric("acme.model")),
            r"evaluation.metrics\[0\] acme.model is acme_code:network, which is no .*Metric",
        ),
        (_spec(**_metric("broken.import")), "broken.import cannot be imported from acme_broken:x: ModuleNotFoundError"),
        (_spec(**_metric("broken.tasks")), r"ValueError: tasks is \['ranking'\]: write some of classification, regr"),
        (_spec(DIGITS, **_metric("f1")), r"evaluation.metrics\[0\] f1 is Headway's own, and acme_code:hits gives it"),
        (
            _spec(training={"checkpoint": {"metric": "validation/acme.nothing"}}),
            "training.checkpoint.metric acme.nothing is not in this image",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_that_leads_to_nothing_good_is_one_sentence(spec: TrainingJobSpec, words: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        resolve_names(spec)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            _spec(**_metric("acme.hits")),
            r"evaluation.metrics\[0\]: acme.hits is no metric of regression, which has loss",
        ),
        (
            _spec(training={"checkpoint": {"metric": "validation/acme.error", "mode": "max"}}),
            "training.checkpoint.mode: max would take the worst for the best, as less validation/acme.error is better",
        ),
        (
            _spec(DIGITS, evaluation={"gates": [{"name": "g", "metric": "acme.hits", "min": 95}]}),
            r"evaluation.gates\[0\].min: 95 is never reached, as acme.hits is at most 1: write 0.95",
        ),
        (
            _spec(model="acme.network"),
            "model.name: acme.network is for images, but the built-in diabetes holds a table",
        ),
        (
            _spec(DIGITS, model="acme.estimator"),
            "model.name: acme.estimator is for tables, but the built-in digits hold",
        ),
        (
            _spec(model="acme.estimator", training={"epochs": 3}),
            "training.epochs: is for models that are trained in epochs, and acme.estimator is fitted by an",
        ),
        (_spec(model="acme.estimator", export={"formats": ["safetensors"]}), "safetensors would leave no model"),
        (
            _spec(tuning={**DEPTHS, "metric": "validation/acme.error", "mode": "max"}, model="acme.estimator"),
            "tuning.mode: max would take the worst for the best, as less validation/acme.error is better",
        ),
        (
            _spec(tuning={**DEPTHS, "scheduler": {"name": "asha"}}, model="acme.estimator"),
            "tuning.scheduler.name: asha stops trials by their epochs, and acme.estimator is fitted without any",
        ),
        (
            _spec(DIGITS, model="acme.network").model_copy(
                update={"model": _spec(model="acme.network").model.model_copy(update={"options": {"deep": 1}})}  # type: ignore[union-attr]
            ),
            "model.options: acme.network has no option 'deep': it has depth",
        ),
        (
            _spec(DIGITS, model="acme.network").model_copy(
                update={"model": _spec(model="acme.network").model.model_copy(update={"options": {"depth": 0}})}  # type: ignore[union-attr]
            ),
            "model.options.depth of acme.network: Input should be greater than or equal to 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_package_declares_is_judged_as_headways_own_names_are(spec: TrainingJobSpec, words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve_names(spec)


def test_no_package_is_imported_that_no_job_names(acme: Path) -> None:
    spec = _spec(**_metric("mae"))
    assert resolve_names(spec) is spec
    assert not (acme / "acme_code.imported").exists()
    resolve_names(_spec(**_metric("acme.error")))
    assert (acme / "acme_code.imported").exists()


def test_validate_takes_names_of_packages_and_says_that_it_did_not_judge_them(acme: Path) -> None:
    fields = {"model": {"name": "acme.anything"}, "data": DIABETES, **_metric("acme.rmsle"), "training": {}}
    job = {
        "apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"}, "spec": fields,
    }  # fmt: skip
    assert problems_of(job) == []
    assert not_judged(TrainingJobSpec.model_validate(fields)) == {
        "acme.anything": ("model", "name"),
        "acme.rmsle": ("evaluation", "metrics", 0),
    }
    assert not (acme / "acme_code.imported").exists()


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("metric", "fields", "better"),
    [
        ("validation/acme.hits", {}, "max"),
        ("validation/acme.hits", {"training": {"checkpoint": {"metric": "validation/acme.hits"}}}, "max"),
        (None, {"training": {"checkpoint": {"metric": "validation/acme.hits"}}}, "max"),
        (None, {"evaluation": {"metrics": ["acme.hits"]}}, "min"),
    ],
)
def test_trials_are_compared_by_a_packages_metric_in_its_own_direction(
    metric: str | None, fields: dict[str, Any], better: str
) -> None:
    rates = {"parameters": {"training.optimizer.lr": {"choice": [0.1, 0.2]}}, "metric": metric}
    spec = resolve_names(_spec(DIGITS, tuning=rates, **fields))
    assert spec.tuning is not None
    assert spec.tuning.better(metric or "validation/acme.hits") == better
    trial = resolve_names(with_parameters(spec, {"training.optimizer.lr": 0.1}))
    assert trial.training is not None
    assert trial.training.checkpoint.better == better


@pytest.mark.usefixtures("acme")
def test_a_metric_says_which_values_are_better_wherever_it_chooses() -> None:
    watched = {"checkpoint": {"metric": "validation/acme.hits"}, "earlyStopping": {"metric": "validation/acme.hits"}}
    gate = {"name": "g", "metric": "acme.hits", "against": {"baseline": True}}
    spec = resolve_names(_spec(DIGITS, training=watched, evaluation={"gates": [gate]}))
    assert spec.training is not None
    assert spec.training.early_stopping is not None
    assert (spec.training.checkpoint.better, spec.training.early_stopping.better) == ("max", "max")
    metrics = Metrics.model_validate({"test": {"acme.hits": 0.9}, "baseline": {"acme.hits": 0.5}})
    (passed,) = judge([Gate.model_validate(gate)], metrics, better_of=better_of(spec))
    assert passed.passed
    less = metrics.model_copy(update={"test": {"acme.hits": 0.4}})
    assert not judge([Gate.model_validate(gate)], less, better_of=better_of(spec))[0].passed


# Metrics.


def _info(**fields: Any) -> DataInfo:
    known = {"task": "regression", "input_shape": (3,), "outputs": 2, "rows": {}, "content_hash": "", "digest": ""}
    return DataInfo.model_validate(known | fields)


CLASSES = _info(task="classification", outputs=3, classes=list("abc"))
VALUES = _info(target_names=["a", "b"], target_mean=[10.0, -5.0], target_std=[2.0, 100.0])


@pytest.mark.usefixtures("acme")
def test_metrics_of_packages_are_computed_where_they_are_named_and_fit() -> None:
    values, classes = task_of(VALUES), task_of(CLASSES)
    assert chosen_metrics(values, ["mae", "acme.error"]) == ("mae", "acme.error")
    assert chosen_metrics(values, None, ["acme.error"]) == (*values.metric_names, "acme.error")
    with pytest.raises(
        UserError, match=r"acme\.error is a metric of forecasting and regression, and this is a classifi"
    ):
        chosen_metrics(classes, None, ["acme.error"])
    assert "acme.hits" not in epoch_metrics(classes, ["validation/loss"])
    assert epoch_metrics(classes, ["validation/acme.hits", "validation/acme.hits"])[-1] == "acme.hits"


class Together:
    """Ranks one after the other: what each gave at each call is put together by the last."""

    def __init__(self, others: Sequence[Any]) -> None:
        self._others = others
        self._calls = 0

    def _all(self, own: torch.Tensor) -> list[torch.Tensor]:
        asked: list[torch.Tensor] = [own]
        for other in self._others:
            recorder = Recorder(self._calls)
            try:
                other().reduce(recorder)
            except Reached as reached:
                asked.append(reached.tensor)
        self._calls += 1
        return asked

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum."""
        return torch.stack(self._all(tensor)).sum(dim=0)

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows."""
        return torch.cat(self._all(tensor))


class Reached(Exception):  # noqa: N818 - no error
    """What a rank gives at the call that is asked for."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Recorder:
    """A rank up to one of its calls. The first call is that of the shapes, whose answer is another rank's."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._calls = wanted, 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The call."""
        return self._call(tensor)

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The call."""
        return self._call(tensor)

    def _call(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._calls == self._wanted:
            raise Reached(tensor)
        self._calls += 1
        return SHAPE if len(tensor) == 0 else tensor


SHAPE = torch.tensor([[0] * 9])
"""A rank without rows hears of a number without axes."""


def _fed(metric: NamedMetric, info: DataInfo, outputs: torch.Tensor, y: torch.Tensor) -> PackageValues:
    values = PackageValues("acme.some", metric, task_of(info).compared)
    for start in range(0, len(y), 4):
        values.update(outputs[start : start + 4].double(), y[start : start + 4])
    return values


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("cuts", [(), (5,), (0,), (11,), (3, 3, 8)], ids=str)
@pytest.mark.parametrize(("name", "info"), [("acme.hits", CLASSES), ("acme.error", VALUES)], ids=["rows", "sums"])
def test_a_metric_is_that_of_all_rows_however_the_ranks_divide_them(
    name: str, info: DataInfo, cuts: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(11, info.outputs, generator=generator)
    labels, values = torch.randint(0, 3, (11,), generator=generator), torch.randn(11, 2, generator=generator)
    y = values if info.classes is None else labels
    shards = list(itertools.pairwise([0, *cuts, 11]))
    fed = [lambda one=one: _fed(package_metric(name), info, outputs[slice(*one)], y[slice(*one)]) for one in shards]
    first = fed[0]()
    first.reduce(Together(fed[1:]) if cuts else Alone())
    if info.classes is None:
        scale = torch.tensor([2.0, 100.0], dtype=torch.float64)
        expected = ((outputs.double() - y.double()) * scale).abs().sum().item()
    else:
        expected = (outputs.argmax(dim=1) == y).double().mean().item()
    assert first.value().item() == pytest.approx(expected, rel=1e-12)


def test_a_part_without_rows_has_no_value() -> None:
    metric = NamedMetric(tasks=["regression"], better="min", sums=lambda said, true: (said - true).sum(), value=float)
    values = PackageValues("acme.some", metric, task_of(VALUES).compared)
    values.reduce(Alone())
    assert np.isnan(values.value().item())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"sums": lambda *_: 1 / 0, "value": float},
            "the metric acme.some: sums raised ZeroDivisionError: division by",
        ),
        ({"sums": lambda *_: 3.0, "value": float}, "sums must give a tensor of real numbers .*, and gave a float"),
        ({"sums": lambda said, _: said, "value": float}, "sums must always give the same shape, and gave the shape"),
        (
            {"rows": lambda said, _: said.sum(), "value": float},
            r"rows must give \(rows, ...\), and gave the shape \(\)",
        ),
        ({"sums": lambda said, _: said.sum(0), "value": lambda sums: sums}, "value must give one number, and gave the"),
        ({"sums": lambda said, _: said.sum(0), "value": lambda sums: sums.nothing}, "value raised AttributeError"),
        (
            {"sums": lambda said, _: said.sum(0), "value": lambda _: None},
            "value must give one number, and gave a NoneT",
        ),
    ],
)
def test_what_a_metric_gives_wrongly_is_one_sentence(given: dict[str, Any], words: str) -> None:
    metric = NamedMetric(tasks=["regression"], better="min", **given)
    y = torch.zeros(11, 2)

    def computed() -> None:
        values = _fed(metric, VALUES, y, y)
        values.reduce(Alone())
        values.value()

    with pytest.raises(UserError, match=words):
        computed()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"better": "more", "sums": sum}, "better is 'more': write 'min' or 'max'"),
        ({"tasks": "regression", "sums": sum}, "tasks is 'regression': write some of"),
        ({"tasks": [], "sums": sum}, r"tasks is \[\]"),
        ({}, "give sums or rows, and not both"),
        ({"sums": sum, "rows": sum}, "give sums or rows, and not both"),
    ],
)
def test_a_metric_that_contradicts_itself_is_none(fields: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"tasks": ["regression"], "better": "min", "value": float} | fields
    with pytest.raises(ValueError, match=words):
        NamedMetric(**given)


# Estimators.


def _graph(**changed: Any) -> Any:
    from headway_trainer.export.graph import OnnxGraph

    names: dict[str, Any] = {"input": "features", "output": "outputs", "outputs": 2} | changed
    graph = OnnxGraph("")
    x = graph.value(names["input"], "float", (3,))
    weights = graph.constant(np.ones((3, names["outputs"]), np.float32))
    return graph.model({names["output"]: (graph.node("MatMul", x, weights), "float", (names["outputs"],))})


def test_a_graph_of_a_packages_own_is_taken_as_it_is() -> None:
    from headway_trainer.export.estimator_body import BodyModule

    x = torch.arange(6.0).reshape(2, 3)
    assert BodyModule(body_of(_graph(), VALUES, "acme.some"), 1)(x).tolist() == [[3, 3], [12, 12]]


def _older() -> Any:
    graph = _graph()
    graph.opset_import[0].version = 11
    return graph


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "model.name acme.some: fit gave a NoneType: it must give an onnx.ModelProto, or a Form .*cannot be exp"),
        (_graph(input="x"), r"the graph that fit gave takes \['x'\] and gives \['outputs'\]: name its input features"),
        (_graph(outputs=5), r"the graph that fit gave gives torch.float32 \(2, 5\) for 2 rows: it must .* \(2, 2\)"),
        (_older(), "has the operators of ai.onnx 11: make it with ai.onnx 20, ai.onnx.ml 4"),
    ],
    ids=["none", "another input", "too many outputs", "older operators"],
)
def test_an_estimator_without_a_graph_that_fits_is_refused(made: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        body_of(made, VALUES, "acme.some")


X = np.zeros((4, 3), np.float32)


@pytest.mark.usefixtures("acme")
def test_an_estimator_of_a_package_needs_fit_and_outputs_alone() -> None:
    member = PackageMember("acme.estimator", {}, VALUES, seed=0, threads=1)
    form = member.fit(X, np.zeros((4, 2)), None)
    assert isinstance(form, Form)
    assert isinstance(form.raw, Linear)
    assert member.outputs(X).shape == (4, 2)
    assert (member.planned, member.done, member.notes, member.memory(10, 3)) == (0, 0, [], 240)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("build=lambda *_, **__: 1 / 0", "model.name acme.own: build raised ZeroDivisionError: division by zero"),
        ("build=lambda *_, **__: 5", "model.name acme.own: build gave a int, which has no fit and no outputs"),
        ("build=Own", "model.name acme.own: fit raised RuntimeError: no luck"),
    ],
)
def test_what_an_estimator_does_wrongly_is_one_sentence(
    own: str, words: str, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (acme / "acme_own.py").write_text(
        "from pydantic import BaseModel\nfrom headway_trainer import NamedModel\n"
        "class Options(BaseModel):\n    pass\n"
        "class Own:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def fit(self, *_): raise RuntimeError('no luck')\n"
        "    def outputs(self, x): return x\n"
        f"own = NamedModel({own}, options=Options, tasks=['regression'], rows=['table'])\n"
    )
    other = acme / "other"
    other.mkdir()
    _install(other, "own", {"headway.estimators": {"acme.own": "acme_own:own"}})
    monkeypatch.syspath_prepend(other)
    sys.modules.pop("acme_own", None)
    with pytest.raises(UserError, match=words):
        PackageMember("acme.own", {}, VALUES, seed=0, threads=1).fit(X, np.zeros((4, 2)), None)


@pytest.mark.usefixtures("acme")
def test_a_task_that_only_the_data_tells_is_judged_where_the_model_is_built() -> None:
    with pytest.raises(UserError, match=r"model\.name acme\.estimator is for regression, and this is a classification"):
        PackageMember("acme.estimator", {}, CLASSES, seed=0, threads=1)
