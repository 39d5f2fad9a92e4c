"""The trials of `spec.tuning`: which values they may have together, and what the spec of one is."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from headway_api.model import MODELS
from headway_api.problems import Problem
from headway_api.tuning import MAX_TRIALS
from headway_api.wording import SHOWN, noun, printable, shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec
    from headway_api.parameters import Parameter
    from headway_api.tuning import Tuning

DEFAULT_TRIALS = 20


class ParameterError(ValueError):
    """A value that the spec refuses: in itself, or beside the others."""

    def __init__(self, parameters: Mapping[str, JsonValue], problem: Problem) -> None:
        self.parameter = concerned(parameters, problem)
        """The path of the parameter that it is most about."""
        self.value = parameters[self.parameter]
        """Its value."""
        self.problem = problem
        """What is wrong, with the path below `spec`."""
        if problem.path == tuple(self.parameter.split("."))[: len(problem.path)]:
            said = problem.message
        else:
            said = f"{told(self.value)} is refused: {problem}"
        super().__init__(f"{self.parameter}: {said}")


def told(value: JsonValue) -> str:
    """A value for a message: of a list what it holds, too, cut like any other text."""
    if not isinstance(value, list):
        return shown(value)
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(value)} items)"


def ordered(parameters: Mapping[str, Parameter]) -> list[str]:
    """The paths by name, each after those that its `when` names: an API server keeps no order of a mapping's keys.

    Of conditions that go round in a circle, one is left out: the spec's checks refuse them.
    """
    found: dict[str, None] = {}

    def add(path: str, above: tuple[str, ...]) -> None:
        for other in sorted(parameters[path].when):
            if other in parameters and other not in above and other not in found:
                add(other, (*above, other))
        found.setdefault(path)

    for path in sorted(parameters):
        add(path, (path,))
    return list(found)


def circle(parameters: Mapping[str, Parameter], path: str) -> list[str] | None:
    """The parameters from one by conditions back to it; None where no way leads back."""
    ways, seen = [[path]], {path}
    while ways:
        way = ways.pop()
        for other in parameters[way[-1]].when:
            if other == path:
                return way
            if other in parameters and other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return None


def applies(parameter: Parameter, chosen: Mapping[str, JsonValue]) -> bool:
    """Whether a parameter has a value beside those that were chosen for the parameters before it."""
    return _holds(_wanted(parameter), chosen)


def _wanted(parameter: Parameter) -> dict[str, frozenset[Hashable]]:
    """The values that its conditions name, by path."""
    return {path: frozenset(map(key_of, values)) for path, values in parameter.when.items()}


def _holds(wanted: Mapping[str, frozenset[Hashable]], chosen: Mapping[str, JsonValue]) -> bool:
    return all(path in chosen and key_of(chosen[path]) in keys for path, keys in wanted.items())


def key_of(value: JsonValue) -> Hashable:
    """What two values have in common that are the same to a spec: 1 is 1.0, and is not true."""
    if isinstance(value, list):
        return tuple(key_of(item) for item in value)
    return (isinstance(value, bool), value if isinstance(value, Hashable) else str(value))


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are the same to a spec."""
    return key_of(one) == key_of(other)


def combinations(
    parameters: Mapping[str, Parameter], values: Callable[[Parameter], Sequence[JsonValue]]
) -> Iterator[dict[str, JsonValue]]:
    """All ways to give the parameters values, by path, in order; the last one's values change first.

    values: those of a parameter, at least one.
    """
    known = [(path, _wanted(parameters[path]), values(parameters[path])) for path in ordered(parameters)]
    chosen: dict[str, JsonValue] = {}

    def below(index: int) -> Iterator[dict[str, JsonValue]]:
        if index == len(known):
            yield dict(chosen)
            return
        path, wanted, mine = known[index]
        if not _holds(wanted, chosen):
            yield from below(index + 1)
            return
        for value in mine:
            chosen[path] = value
            yield from below(index + 1)
        del chosen[path]

    return below(0)


def grid(tuning: Tuning) -> Iterator[dict[str, JsonValue]]:
    """The combinations of a grid search, in its order."""
    return combinations(tuning.parameters, lambda parameter: parameter.listed or ())


def planned(tuning: Tuning) -> int:
    """How many trials there are where nothing ends the search early: of a grid no more than it has combinations."""
    if tuning.search.name != "grid":
        return tuning.trials or DEFAULT_TRIALS
    return sum(1 for _ in islice(grid(tuning), tuning.trials or MAX_TRIALS))


def raisable(tuning: Tuning | None) -> int | None:
    """How many trials there may be, where a job that has begun may be given more of them; none where it may not.

    A grid has its combinations, a population all its trials from the beginning on, and of a Tuner of the user's own
    nobody knows.
    """
    if (
        tuning is None
        or tuning.entrypoint is not None
        or tuning.search.name == "grid"
        or tuning.scheduler.name == "pbt"
    ):
        return None
    return planned(tuning)


def concerned(parameters: Mapping[str, JsonValue], problem: Problem) -> str:
    """The parameter that a problem is most about: the one whose path has the longest beginning with the problem's."""
    return max(parameters, key=lambda path: (_common(path, problem), path))


def _common(path: str, problem: Problem) -> int:
    shared = 0
    for mine, other in zip(path.split("."), problem.path, strict=False):
        if mine != other:
            break
        shared += 1
    return shared


def document(spec: TrainingJobSpec, parameters: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The spec of a trial as it would be written, not judged. Raises ParameterError for a path that cannot be."""
    # A spec that was only understood may hold values that this version would not take: they are written as they are.
    written = spec.model_dump(by_alias=True, exclude_none=True, warnings=False)
    if spec.tuning is not None:
        del written["tuning"]
        own = spec.tuning.workers_of_one(spec.workers)
        written["workers"] = own.model_dump(by_alias=True, exclude_none=True, warnings=False)
    return with_values(written, parameters, spec.tuning)


def with_values(
    written: Mapping[str, Any], parameters: Mapping[str, JsonValue], tuning: Tuning | None
) -> dict[str, Any]:
    """A written spec, or its tuned sections alone, with each value at its path; what was written stays as it is.

    Its checkpoint is chosen by what trials are compared by. Raises ParameterError for a path that cannot be.
    """
    made = dict(written)
    for path, value in parameters.items():
        _put(made, path, value, parameters)
    if tuning is not None:
        _compare_by(tuning, made)
    return made


def _put(made: dict[str, Any], path: str, value: JsonValue, parameters: Mapping[str, JsonValue]) -> None:
    *way, last = path.split(".")
    node = made
    for depth, part in enumerate(way, 1):
        inner = node.get(part, {})
        if not isinstance(inner, dict):
            at = ".".join(way[:depth])
            said = f"{at} is {noun(inner)} and has no fields: write the path of a field that is there"
            raise ParameterError(parameters, Problem(tuple(way[:depth]), said))
        node[part] = node = dict(inner)
    node[last] = value


def _compare_by(tuning: Tuning, made: dict[str, Any]) -> None:
    """Let a trial choose its checkpoint by the metric that trials are compared by; an estimator has none to choose."""
    known = MODELS.get(made.get("model", {}).get("name"))
    chooser = tuning.chooser
    mode = tuning.mode if chooser is None else chooser.mode
    if (chooser is None and mode is None) or (known is not None and known.estimator):
        return
    training = made["training"] = dict(made.get("training", {}))
    if training.get("entrypoint") is not None:
        return  # a function of the user's own saves its checkpoints itself
    checkpoint = training["checkpoint"] = dict(training.get("checkpoint", {}))
    if chooser is not None and chooser.metric != checkpoint.get("metric"):
        checkpoint["metric"] = chooser.metric
        checkpoint.pop("mode", None)
    if mode is not None:
        checkpoint["mode"] = mode
