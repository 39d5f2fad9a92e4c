"""The values of `tuning.parameters`, each judged by the field that it is for, together with the others.

All combinations are judged where they are few. Where they are many, each value is judged in a few of them, and told
only if it is refused in all: a trial that gets two values that do not go together fails by itself, with the same
sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from headway_api import schema as schemas
from headway_api import trials
from headway_api.base import BrokenRule
from headway_api.consistency.facts import own_loop, searched
from headway_api.consistency.trial_specs import TrialSpecs
from headway_api.parameters import MAX_VALUES, FloatRange, Parameter, SteppedRange, values_written
from headway_api.problems import A_WHOLE_NUMBER, UNKNOWN_FIELD, Path, Problem
from headway_api.tuning import Tuning, is_tunable
from headway_api.wording import listed

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headway_api.job import TrainingJobSpec

Combination = Mapping[str, "JsonValue"]
MOST_COMBINATIONS = 200
"""So many are all judged."""
MOST_REFUSED = 60
"""With so many refused the rest is not judged: a tenant writes the values, and each refusal takes milliseconds."""
_PARAMETERS = ("tuning", "parameters")
_COMPARED_BY = ("training", "checkpoint")
_LEARNT = ("feature", "ignore")
"""The roles that trials may give a column: it is learnt from, or left out."""
_COLUMN_PARTS = 4
"""`data.columns.NAME.role` has so many."""
_ARGUMENTS, _ARGUMENT = ("training", "arguments"), 3
"""The path of what a training function of the user's own is given, and the least length of that of one value of it."""
_OF_ANOTHER_LOOP = (("training", "entrypoint"), _ARGUMENTS)
_WHOLE = {"uniform": "int", "logUniform": "logInt"}
"""What to write in place of a range of real numbers."""
_PICKS: tuple[Callable[[Sequence[JsonValue]], JsonValue | None], ...] = (
    lambda values: None,  # noqa: ARG005 - the job's own value
    lambda values: values[0],
    lambda values: values[-1],
)
"""What the other parameters have while one is judged by itself."""


def paths_of_no_value(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Paths of what is no field with a value, or of what no trial may change."""
    tuning = searched(spec)
    parameters = tuning.parameters if tuning is not None else {}
    for path in parameters:
        said = _unfit(spec, path, parameters)
        if said is not None:
            yield BrokenRule(said, (*_PARAMETERS, path))


def _unfit(spec: TrainingJobSpec, path: str, parameters: Mapping[str, Parameter]) -> str | None:
    parts = tuple(path.split("."))
    if parts[:2] == _COMPARED_BY:
        return "checkpoints do not change what is learnt, and trials are compared by their metric: take it out"
    said = _of_the_other_loop(parts, own=own_loop(spec))
    if said is not None:
        return said
    within = next((other for other in sorted(parameters) if other.startswith(f"{path}.")), None)
    if within is not None:
        return f"{within} is a part of it and a parameter, too: take one of the two out"
    return _of_a_column(spec, parts, parameters[path]) or _of_no_value(spec, path)


def _of_no_value(spec: TrainingJobSpec, path: str) -> str | None:
    """Why a path is none of a field with a value."""
    node = schemas.at(schemas.inlined(type(spec)), tuple(path.split("."))) or {}
    if node.get("properties"):
        fields = [f"{path}.{name}" for name in node["properties"]]
        return f"{path} is a section, and a parameter is one field: write one of {listed(fields)}"
    if schemas.PRESERVE in node:
        return f"{path} is a mapping, and a parameter is one of its values: write {path}.NAME"
    return None


def _of_a_column(spec: TrainingJobSpec, parts: Path, parameter: Parameter) -> str | None:
    """Why a column's field is none that trials may change; parts: its path."""
    if parts[:2] != ("data", "columns") or len(parts) != _COLUMN_PARTS or spec.data is None:
        return None  # that is told as any other path, or as a section that is missing
    name, field = parts[2:]
    column = (spec.data.columns or {}).get(str(name))
    role = "target" if name in spec.data.target_names else (column.role if column is not None else None)
    if role not in (None, *_LEARNT):
        return f"{name} has the role {role}, and trials with other {field}s of it could not be compared: take it out"
    other = next((value for value in parameter.listed or () if field == "role" and value not in _LEARNT), None)
    if other is not None:
        return f"{trials.told(other)} changes which rows trials are compared by: write {' or '.join(_LEARNT)}"
    return None


def _of_the_other_loop(parts: tuple[str, ...], *, own: bool) -> str | None:
    path = ".".join(parts)
    if own and (len(parts) < _ARGUMENT or parts[:2] != _ARGUMENTS):
        return f"{path} is not handed to training.entrypoint, as arguments are: write training.arguments.NAME"
    if not own and parts[:2] in _OF_ANOTHER_LOOP:
        return f"{path} is of a training function of your own, and trials are trained by the built-in loop: take it out"
    return None


def values_that_are_refused(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Values that their field refuses, by themselves or beside others."""
    tuning = searched(spec)
    if tuning is None or not _well_formed(spec, tuning):
        return
    values = {path: _values(parameter) for path, parameter in tuning.parameters.items()}
    judge = _Judge(TrialSpecs(spec, tuning), tuning.parameters, values)
    found = list(islice(trials.combinations(tuning.parameters, _values), MOST_COMBINATIONS + 1))
    refused = judge.together(found) if len(found) <= MOST_COMBINATIONS else judge.one_by_one()
    yield from _told(tuning, values, refused)


def _well_formed(spec: TrainingJobSpec, tuning: Tuning) -> bool:
    """Whether the parameters are such that their values can be judged: what is not has a problem of its own."""
    parameters = tuning.parameters
    return values_written(parameters) <= MAX_VALUES and all(
        is_tunable(path)
        and _unfit(spec, path, parameters) is None
        and trials.circle(parameters, path) is None
        and parameter.when.keys() <= parameters.keys()
        for path, parameter in parameters.items()
    )


def _values(parameter: Parameter) -> list[JsonValue]:
    """What is judged of a parameter: its values, or the bounds of a range."""
    bounds = parameter.range
    if bounds is None:
        return list(parameter.listed or ())
    if isinstance(bounds, FloatRange):
        return [float(bounds.min), float(bounds.max)]
    step = bounds.step if isinstance(bounds, SteppedRange) else 1
    return [bounds.min, bounds.min + (bounds.max - bounds.min) // step * step]


@dataclass
class _Refused:
    """A value that is refused for one reason."""

    parameter: str
    index: int
    problem: Problem
    combinations: list[Combination] = field(default_factory=list)
    """Those in which it is."""
    taken: list[Combination] = field(default_factory=list)
    """Those in which nothing is refused; none where the value is refused whatever the others have."""


@dataclass
class _Judge:
    """Judges combinations of values."""

    specs: TrialSpecs
    parameters: Mapping[str, Parameter]
    values: Mapping[str, Sequence[JsonValue]]
    left: int = MOST_REFUSED
    """How many combinations may still be refused."""

    def together(self, combinations: Sequence[Combination]) -> list[_Refused]:
        """The values that are refused in any of the combinations, which are all."""
        refused, taken = dict[tuple[str, int, Problem], _Refused](), list[Combination]()
        for each in combinations:
            found = self._problems(each)
            for problem in found:
                path = trials.concerned(each, problem)
                key = (path, self._index(path, each[path]), problem)
                refused.setdefault(key, _Refused(*key)).combinations.append(each)
            if not found:
                taken.append(each)
            if self.left == 0:
                break
        for one in refused.values():
            path, mine = one.parameter, self.values[one.parameter][one.index]
            one.taken = [each for each in taken if path in each and trials.same(each[path], mine)]
        return list(refused.values())

    def one_by_one(self) -> list[_Refused]:
        """The values that are refused with whatever a few combinations give the others."""
        refused = []
        for path in trials.ordered(self.parameters):
            for index, value in enumerate(self.values[path]):
                problem = self._everywhere(path, value) if self.left else None
                if problem is not None:
                    refused.append(_Refused(path, index, problem))
        return refused

    def _everywhere(self, path: str, value: JsonValue) -> Problem | None:
        found = None
        for pick in _PICKS:
            each = self._around(path, value, pick)
            mine = [problem for problem in self._problems(each) if trials.concerned(each, problem) == path]
            if not mine:
                return None
            found = found or mine[0]
        return found

    def _problems(self, combination: Combination) -> list[Problem]:
        found = self.specs.problems(combination)
        self.left -= bool(found and self.left)
        return found

    def _around(
        self, path: str, value: JsonValue, pick: Callable[[Sequence[JsonValue]], JsonValue | None]
    ) -> dict[str, JsonValue]:
        """A combination with one value, and those without which its parameter does not apply."""
        forced, waiting = {path: value}, [path]
        while waiting:
            for other, wanted in self.parameters[waiting.pop()].when.items():
                if other not in forced:
                    forced[other] = wanted[0]
                    waiting.append(other)
        chosen: dict[str, JsonValue] = {}
        for each in trials.ordered(self.parameters):
            if each in forced:
                chosen[each] = forced[each]
            elif trials.applies(self.parameters[each], chosen):
                picked = pick(self.values[each])
                if picked is not None:
                    chosen[each] = picked
        return chosen

    def _index(self, path: str, value: JsonValue) -> int:
        return next(index for index, each in enumerate(self.values[path]) if trials.same(each, value))


def _told(
    tuning: Tuning, values: Mapping[str, Sequence[JsonValue]], refused: Sequence[_Refused]
) -> Iterator[BrokenRule]:
    """A sentence for each; one for the whole parameter where it is the same for several of its values."""
    groups: dict[tuple[str, str], list[_Refused]] = {}
    for one in refused:
        said = _sentence(one, tuning.parameters[one.parameter], values[one.parameter][one.index])
        groups.setdefault((one.parameter, said), []).append(one)
    for (path, said), alike in groups.items():
        of_path = len(alike[0].problem.path) < len(path.split(".")) or said.startswith(UNKNOWN_FIELD)
        whole = len(alike) > 1 or of_path
        yield BrokenRule(said, (*_PARAMETERS, path, *(() if whole else _place(alike[0], tuning.parameters[path]))))


def _place(one: _Refused, parameter: Parameter) -> Path:
    """Where what is refused of a parameter is written, below its path."""
    form = parameter.forms[0]
    if parameter.listed is None:
        return (form, ("min", "max")[one.index])
    return (form, one.index, *_within(one))


def _within(one: _Refused) -> Path:
    """The place in the value that a problem is about; empty where it is about all of it, or about another field."""
    own = tuple(one.parameter.split("."))
    return one.problem.path[len(own) :] if one.problem.path[: len(own)] == own else ()


def _sentence(one: _Refused, parameter: Parameter, value: JsonValue) -> str:
    problem, own = one.problem, tuple(one.parameter.split("."))
    if problem.path == own and isinstance(parameter.range, FloatRange) and problem.message.endswith(A_WHOLE_NUMBER):
        form = parameter.forms[0]
        said = f"holds whole numbers alone: write {_WHOLE[form]} in place of {form}"
    elif problem.path == own[: len(problem.path)] or _within(one):
        said = problem.message
    else:
        said = f"{trials.told(value)} is refused: {problem}"
    beside = _beside(one)
    if not beside:
        return said
    told = " and ".join(f"{other} {trials.told(one.combinations[0][other])}" for other in beside)
    return f"{said}. That is so beside {told}: correct one of them, or limit the parameter with when"


def _beside(one: _Refused) -> list[str]:
    """The other parameters whose values make the difference; none where the value is refused beside all."""
    if not one.taken:
        return []
    others = [path for path in one.combinations[0] if path != one.parameter]
    deciding = [path for path in others if _decides(path, one)]
    return deciding or others[:3]


def _decides(path: str, one: _Refused) -> bool:
    """Whether a parameter has other values where the value is refused than where it is taken."""
    with_it = [each.get(path) for each in one.combinations]
    return not any(trials.same(each.get(path), value) for each in one.taken for value in with_it)


CHECKS = (paths_of_no_value, values_that_are_refused)
