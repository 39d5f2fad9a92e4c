"""`report.md`: the result as a page for people. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from headway_api.model import fitted_by
from headway_trainer.data.profile import HEADINGS, Profile, cells, summary
from headway_trainer.report.gates import compared
from headway_trainer.report.marks import Marked, counted, number, plain, table
from headway_trainer.report.model import (
    Confusion,
    CrossValidation,
    DataSummary,
    KeptModel,
    Metrics,
    ModelSummary,
    RunResult,
    TrainingSummary,
)
from headway_trainer.report.time_section import time_section
from headway_trainer.report.tuning import tuning_section

_SPLITS = ("train", "validation", "test")
_MOST_CLASSES = 20
"""A confusion matrix of more classes is told as its most frequent confusions."""
_MOST_CONFUSIONS = 15
_METRICS_AN_EPOCH = {"train": 8, "validation": 2}
"""The training part has the loss, and what a program logs by name."""
_MOST_STEPS = 12
"""Steps ahead of a forecast that a table shows; result.json has all."""
_NAIVE = {"lastValue": "always the last value", "seasonalNaive": "as a season before"}


def render(result: RunResult, *, loss: bool, confusion: bool, tuning: Sequence[tuple[str, str]] = ()) -> str:
    """The page. loss and confusion say whether there are such plots to show; tuning: those of the search, each with
    its title and its path."""
    sections = [
        _summary(result),
        _metrics(result),
        tuning_section(result.tuning, tuning),
        _folds(result.cross_validation),
        _gates(result),
        _reported(result),
        _confusion(result, confusion),
        _training(result, loss),
        time_section(result.time, in_cluster=result.uid is not None),
        _data(result.data),
        _serving(result),
        _weights(result),
        _files(result),
        _environment(result),
    ]
    return "\n".join(section for section in sections if section)


def _summary(result: RunResult) -> str:
    training = result.training
    what = training.entrypoint or (result.model and (result.model.entrypoint or result.model.name)) or "-"
    rows = [
        ("outcome", result.outcome),
        ("model", what),
        ("parameters", counted(result.model.parameters if result.model else None)),
        *_passes(training, result.model),
        *([("the model that was kept", described(training.kept))] if training.kept else []),
        *_workers(result),
        ("device", f"{training.device}, {training.precision_used}, {_threads(training.threads)}"),
        ("seed", str(result.seed)),
        ("attempt", str(result.attempt)),
        ("started", result.started),
        ("took", f"{result.duration_seconds:.1f} s"),
    ]
    if result.metrics.test:
        name = next(
            (name for name in ("accuracy", "mae") if name in result.metrics.test), next(iter(result.metrics.test))
        )
        rows.insert(1, (f"test {name}", number(result.metrics.test[name])))
    message = f"{plain(result.message)}\n" if result.message else ""
    notes = ""
    if training.precision_used != training.precision_asked:
        notes = f"\n{training.precision_asked} was asked for; this device trained in {training.precision_used}.\n"
    return f"# {plain(result.job)}\n\n{message}{table(('', ''), rows)}{notes}"


def described(kept: KeptModel) -> str:
    """Where the model that was kept comes from, in words."""
    epoch = "" if kept.epoch is None else f"epoch {kept.epoch}, "
    if kept.value is None:
        return f"{epoch}step {kept.step}: the newest, as no epoch had a finite {kept.metric}"
    best = "lowest" if kept.better == "min" else "highest"
    return f"{epoch}step {kept.step}: the {best} {kept.metric}, {number(kept.value)}"


def _passes(training: TrainingSummary, model: ModelSummary | None) -> list[tuple[str, str]]:
    if training.entrypoint is not None:
        return [("reports of the function", counted(training.reports)), ("optimiser steps", counted(training.steps))]
    if training.iterations is not None:
        iterations = f"{counted(training.iterations or None)}{' (stopped early)' if training.early_stopped else ''}"
        return [("fitted by", fitted_by((model and model.name) or "")), ("iterations", iterations)]
    epochs = f"{counted(training.epochs_run)}{' (stopped early)' if training.early_stopped else ''}"
    return [("epochs", epochs), ("optimiser steps", counted(training.steps))]


def _reported(result: RunResult) -> str:
    values = result.metrics.reported
    if not values:
        return ""
    rows = [(name, number(value)) for name, value in values.items()]
    return f"## What the training function reported last\n\n{table(('name', 'value'), rows)}"


def _metrics(result: RunResult) -> str:
    parts = {name: getattr(result.metrics, name) for name in _SPLITS}
    parts = {name: values for name, values in parts.items() if values}
    naive = result.metrics.naive
    if naive:
        parts |= {f"{_NAIVE.get(name, name)}, test": values for name, values in naive.items()}
    elif result.metrics.baseline:
        parts[f"{'always the most frequent class' if _classes(result) else 'always the mean'}, test"] = (
            result.metrics.baseline
        )
    if not parts:
        return ""
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    rows = [(name, *(number(values.get(name)) for values in parts.values())) for name in names]
    return f"## Metrics\n\n{table(('metric', *parts), rows)}{_by_target(result.metrics)}{_by_horizon(result.metrics)}"


def _folds(folds: CrossValidation | None) -> str:
    if folds is None:
        return ""
    names = list(folds.mean)
    rows = [
        (
            one.name,
            counted(one.rows["train"]),
            counted(one.rows["validation"]),
            counted(one.epochs_run),
            counted(one.best_epoch),
            *(number(one.metrics.get(name)) for name in names),
        )
        for one in folds.folds
    ]
    rows.append(("mean", "", "", "", "", *(number(folds.mean[name]) for name in names)))
    rows.append(("standard deviation", "", "", "", "", *(number(folds.standard_deviation.get(name)) for name in names)))
    head = ("fold", "training rows", "validation rows", "epochs", "best epoch", *names)
    told = "Each fold's model was trained like the one that was kept, and judged on rows that it was not trained on."
    return f"## Cross-validation\n\n{told}\n\n{table(head, rows)}"


def _by_target(metrics: Metrics) -> str:
    part = next((part for part in reversed(_SPLITS) if metrics.by_target.get(part)), None)
    if part is None:
        return ""
    values = metrics.by_target[part]
    names = list(next(iter(values.values())))
    rows = [(target, *(number(one.get(name)) for name in names)) for target, one in values.items()]
    return f"\nBy target, on the {part} part:\n\n{table(('target', *names), rows)}"


def _by_horizon(metrics: Metrics) -> str:
    """The error of each step ahead; of a long horizon, of some that are equally far apart."""
    part = next((part for part in reversed(_SPLITS) if metrics.by_horizon.get(part)), None)
    if part is None:
        return ""
    values = metrics.by_horizon[part]
    horizon = len(next(iter(values.values())))
    count = min(horizon, _MOST_STEPS)
    shown = [round(index * (horizon - 1) / max(1, count - 1)) for index in range(count)]
    rows = [(target, *(number(errors[step]) for step in shown)) for target, errors in values.items()]
    steps = [str(step + 1) for step in shown]
    return f"\nThe mean absolute error by steps ahead, on the {part} part:\n\n{table(('target', *steps), rows)}"


def _gates(result: RunResult) -> str:
    if not result.gates:
        return ""
    rows = [
        (
            one.name,
            one.metric,
            number(one.value),
            number(one.min),
            number(one.max),
            compared(one) or "-",
            "passed" if one.passed else Marked("**not passed**"),
        )
        for one in result.gates
    ]
    return f"## Gates\n\n{table(('gate', 'metric', 'value', 'min', 'max', 'compared', ''), rows)}"


def _confusion(result: RunResult, plot: bool) -> str:
    matrix = result.confusion_matrix
    classes = (result.data.classes if result.data else None) or [str(index) for index in range(len(matrix or ()))]
    if not matrix:
        if not result.confusions:
            return ""
        return f"## Confusion on the test part\n\n{_most_confused(result.confusions, classes)}"
    by_class = table(("class", "test rows", "precision", "recall"), _by_class(matrix, classes))
    image = "\n![Confusion matrix](plots/confusion.png)\n" if plot else ""
    if len(matrix) > _MOST_CLASSES:
        wrong = sorted(
            (
                Confusion(actual=row, predicted=column, rows=count)
                for row, counts in enumerate(matrix)
                for column, count in enumerate(counts)
                if row != column and count
            ),
            key=lambda one: (-one.rows, one.actual, one.predicted),
        )
        told = _most_confused(wrong, classes)
    else:
        rows = [(name, *(str(count) for count in counts)) for name, counts in zip(classes, matrix, strict=True)]
        told = table(("actual \\ predicted", *classes), rows)
    return f"## Confusion on the test part\n\n{told}\n{by_class}{image}"


def _workers(result: RunResult) -> list[tuple[str, str]]:
    workers = [("workers", str(result.world_size // result.processes))]
    return workers if result.processes == 1 else [*workers, ("processes on each", str(result.processes))]


def _threads(count: int) -> str:
    return f"{count} {'thread' if count == 1 else 'threads'} a process"


def _most_confused(confusions: Sequence[Confusion], classes: Sequence[str]) -> str:
    return table(
        ("actual", "predicted", "rows"),
        [(classes[one.actual], classes[one.predicted], str(one.rows)) for one in confusions[:_MOST_CONFUSIONS]],
    )


def _by_class(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for index, name in enumerate(classes):
        actual = sum(matrix[index])
        predicted = sum(row[index] for row in matrix)
        hits = matrix[index][index]
        precision = number(hits / predicted) if predicted else "-"
        yield name, str(actual), precision, number(hits / actual) if actual else "-"


def _training(result: RunResult, plot: bool) -> str:
    history = result.training.history
    if not history:
        return ""
    image = "![Loss](plots/loss.png)\n\n" if plot else ""
    resumed = result.training.resumed_from_step
    told = f"The last attempt resumed from step {resumed}.\n\n" if resumed else ""
    last = history[-1]
    parts = {"train": last.train, "validation": last.validation}
    columns = [(part, name) for part, values in parts.items() for name in list(values)[: _METRICS_AN_EPOCH[part]]]
    # Ten lines tell the story; result.json has every epoch.
    step = math.ceil(len(history) / 10)
    shown = [record for index, record in enumerate(reversed(history)) if index % step == 0][::-1]
    passed = ("epoch", "step") if result.training.iterations is None else ("iteration",)
    rows = [
        (
            *(str(one) for one in (record.epoch, record.step)[: len(passed)]),
            *(number(getattr(record, part).get(name)) for part, name in columns),
        )
        for record in shown
    ]
    return f"## Training\n\n{told}{image}{table((*passed, *(' '.join(c) for c in columns)), rows)}"


def _data(data: DataSummary | None) -> str:
    if data is None:
        return ""
    shape = " x ".join(str(side) for side in data.input_shape)
    lines = [
        f"{data.task}; one row has the shape {shape}; scaling: {data.scaling}; content sha256 `{data.content_hash}`.",
        "",
    ]
    balance = data.class_balance
    if balance and data.classes and len(data.classes) <= _MOST_CLASSES:
        rows = [(name, *(str(balance[part][name]) for part in _SPLITS)) for name in data.classes]
    else:
        rows = []
    rows.append(("all rows", *(str(data.rows[part]) for part in _SPLITS)))
    lines.append(table(("class" if len(rows) > 1 else "", *_SPLITS), rows))
    lines += _profile(data.profile)
    return "## Data\n\n" + "\n".join(lines).rstrip() + "\n"


def _serving(result: RunResult) -> str:
    export = result.export
    if export is None:
        return ""
    told = []
    if export.file is not None:
        told += [
            "`model.onnx` takes raw rows, as they are in the source; `model.json` has its inputs and outputs. "
            "For the rows of a file, in this folder:",
            "```sh\nheadway predict . rows.csv\n```",
        ]
    if export.problem is not None:
        told.append(plain(f"{export.problem[:1].upper()}{export.problem[1:]}."))
    if export.parity is not None and export.parity.holds:
        parity = export.parity
        told.append(
            f"On {parity.rows} rows of the source, which it was not fitted to, it differs from the trained model by at "
            f"most {number(parity.max_difference)}"
            + (f"; both name the same class for {parity.agreement:.2%} of them." if _classes(result) else ".")
        )
    return "## Predict\n\n" + "\n\n".join(told) + "\n"


def _classes(result: RunResult) -> list[str] | None:
    return result.data.classes if result.data else None


def _profile(profile: Profile) -> list[str]:
    """Warnings first, then what each column was taken for, then what else was done."""
    lines = [f"- **{plain(warning)}**" for warning in profile.warnings]
    lines += [f"- {plain(note)}" for note in profile.notes]
    if profile.columns:
        lines += ["", "### Columns", "", summary(profile), "", table(HEADINGS, map(cells, profile.columns))]
    return lines


def _weights(result: RunResult) -> str:
    weights = next((artifact.path for artifact in result.artifacts if artifact.name == "model"), None)
    if weights is None:
        return ""
    if result.model is not None and result.data is not None and result.training.entrypoint is None:
        code = [
            "import json",
            "",
            "from headway_api.model import Model",
            "from headway_trainer.data import DataInfo",
            "from headway_trainer.entrypoints import load_function",
            "from headway_trainer.models import build",
            "from safetensors.torch import load_file",
            "",
            'told = json.load(open("model.json"))',
            'info = DataInfo.model_validate(told["data"])',
            'model = build(Model.model_validate(told["model"]), info, load_function=load_function).model',
            f'model.load_state_dict(load_file("{weights}"))',
            "model.eval()",
        ]
        if any(artifact.name == "vocabulary" for artifact in result.artifacts):
            code += [
                "",
                "from headway_trainer.data.vocabulary import VOCABULARY_FILE, with_vocabularies",
                "from headway_trainer.storage import Store",
                "",
                'info = with_vocabularies(info, Store.open("."), VOCABULARY_FILE)',
            ]
        after = (
            "\nIts rows must go through the transforms of the training, `info.transforms.apply(rows)`: "
            "a pyarrow table or an array. `headway_trainer.tasks.task_of(info).prediction.of(outputs, features)` makes "
            "classes, or values in their units, of what the model gives.\n"
        )
    else:
        code = [
            "from safetensors.torch import load_file",
            "",
            f'weights = load_file("{weights}")',
            "model.load_state_dict(weights)  # the module that your own function builds",
        ]
        after = ""
    return "## Use the weights\n\nIn this folder:\n\n```python\n" + "\n".join(code) + f"\n```\n{after}"


def _files(result: RunResult) -> str:
    if not result.artifacts:
        return ""
    rows = [(item.name, item.path, counted(item.size_bytes), Marked(f"`{item.sha256}`")) for item in result.artifacts]
    return f"## Files\n\n{table(('what', 'path', 'bytes', 'sha256'), rows)}"


def _environment(result: RunResult) -> str:
    versions = result.environment
    parts = [
        f"{name} {version}"
        for name, version in (
            ("Headway", versions.headway),
            ("Python", versions.python),
            ("PyTorch", versions.torch),
            ("Ray", versions.ray),
            ("code", versions.code_commit),
        )
        if version
    ]
    return f"## Environment\n\n{', '.join(plain(part) for part in parts)}.\n" if parts else ""
