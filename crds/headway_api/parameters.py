"""What is tried: the paths of `tuning.parameters`, and the forms of their values."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from headway_api.base import FREE_FORM_BYTES, Preserved, Rule, Section
from headway_api.wording import SHOWN, noun, printable, shown

MAX_PARAMETERS, MAX_CHOICES, MAX_VALUES = 64, 256, 512
MAX_ITEMS, MAX_TEXT = 64, 256
"""What a value may hold: the items of a list, the characters of a text."""
_PATH = re.compile(r"[a-z][A-Za-z0-9]*(\.[A-Za-z_][A-Za-z0-9_]*){1,7}")
_PATH_LENGTH = 128
_PATH_FORM = "must be the path of a field in spec, for example training.optimizer.lr"


def _is_a_path(path: str) -> str:
    if len(path) > _PATH_LENGTH or _PATH.fullmatch(path) is None:
        raise PydanticCustomError("form", "{must}", {"must": _PATH_FORM})
    return path


Path = Annotated[str, AfterValidator(_is_a_path)]
"""A field of `spec` by its path, of at most 128 characters."""


def _refusal(value: JsonValue) -> str | None:
    if value is None or isinstance(value, dict):
        what = "null" if value is None else noun(value)
        return f"{what} is no value of a parameter: write a number, a text, true, false, or a list of these"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown(value)} is not allowed: write a finite number"
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{shown(value)} is too long: at most {MAX_TEXT} characters are allowed"
    return None


def _of_a_parameter(value: JsonValue) -> JsonValue:
    refusal = None
    if not isinstance(value, list):
        refusal = _refusal(value)
    elif len(value) > MAX_ITEMS:
        refusal = f"has {len(value)} items: at most {MAX_ITEMS} are allowed"
    elif any(isinstance(item, list) for item in value):
        refusal = "holds a list in a list: write one list of numbers, texts, true or false"
    else:
        refusal = next((said for item in value if (said := _refusal(item)) is not None), None)
    if refusal is not None:
        raise PydanticCustomError("sentence", "{said}", {"said": refusal})
    return value


def _once_each(values: list[JsonValue]) -> list[JsonValue]:
    for text, times in Counter(json.dumps(value, ensure_ascii=False) for value in values).items():
        if times > 1:
            said = f"holds {printable(text[:SHOWN])} more than once: write each value once"
            raise PydanticCustomError("sentence", "{said}", {"said": said})
    return values


Value = Annotated[JsonValue, AfterValidator(_of_a_parameter), Field(json_schema_extra=Preserved)]
"""What a field may be given: a number, a text, a boolean, or a list of them."""
Values = Annotated[list[Value], Field(min_length=1, max_length=MAX_CHOICES), AfterValidator(_once_each)]


def _min_below_max() -> Rule:
    return Rule(
        cel="self.min < self.max",
        message="min must be below max: correct one of the two",
        holds=lambda bounds: bounds.min < bounds.max,
        field="min",
    )


class FloatRange(Section):
    """Real numbers from `min` to `max`, both included."""

    rules = (_min_below_max(),)

    min: float
    """The least value."""
    max: float
    """The greatest value."""


class LogRange(FloatRange):
    """Positive real numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[float, Field(gt=0.0)]
    """The least value."""


Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]


class IntRange(Section):
    """Whole numbers from `min` to `max`, both included."""

    rules: ClassVar[tuple[Rule, ...]] = (_min_below_max(),)

    min: Whole
    """The least value."""
    max: Whole
    """The greatest value."""


class SteppedRange(IntRange):
    """Whole numbers `min`, `min + step`, ... up to `max`."""

    rules = (
        *IntRange.rules,
        Rule(
            cel="self.min >= self.max || self.step <= self.max - self.min",
            message="step is greater than max - min, so that min is the only value: write a smaller step",
            holds=lambda bounds: bounds.min >= bounds.max or bounds.step <= bounds.max - bounds.min,
            field="step",
        ),
    )

    step: Annotated[int, Field(ge=1, le=2**53)] = 1
    """The distance between two values."""


class LogIntRange(IntRange):
    """Positive whole numbers from `min` to `max`, drawn evenly over their logarithm."""

    min: Annotated[int, Field(ge=1, le=2**53)]
    """The least value."""


FORMS = ("uniform", "logUniform", "int", "logInt", "choice", "grid")
RANGES = FORMS[:4]
_FIELDS = dict(zip(FORMS, ("uniform", "log_uniform", "int_", "log_int", "choice", "grid"), strict=True))


class Parameter(Section):
    """The values of one field: exactly one of these forms."""

    rules = (
        Rule(
            # In CEL the lists cannot be seen, as their items have no type; how many fields there are can be.
            cel="dyn(self).size() == (has(dyn(self).when) ? 2 : 1)",
            message=f"set exactly one of {', '.join(FORMS)}: they are the forms of a parameter's values",
            holds=lambda one: len(one.forms) == 1,
        ),
    )

    uniform: FloatRange | None = None
    """Real numbers, evenly."""
    log_uniform: LogRange | None = None
    """Positive real numbers, evenly over their logarithm: for a learning rate."""
    int_: SteppedRange | None = Field(default=None, alias="int")
    """Whole numbers, evenly."""
    log_int: LogIntRange | None = None
    """Positive whole numbers, evenly over their logarithm."""
    choice: Values | None = None
    """One of these values, which have no order."""
    grid: Values | None = None
    """Each of these values, in this order: for `search.name: grid`."""
    when: dict[Path, Values] = Field(default_factory=dict, max_length=8)
    """Only where these other parameters have one of these values: `{training.optimizer.name: [sgd]}`."""

    @property
    def forms(self) -> list[str]:
        """The forms that are set, as users write them: exactly one of a parameter that was judged."""
        return [form for form, name in _FIELDS.items() if getattr(self, name) is not None]

    @property
    def range(self) -> FloatRange | IntRange | None:
        """The bounds, where the values are numbers between two."""
        return self.uniform or self.log_uniform or self.int_ or self.log_int

    @property
    def listed(self) -> list[JsonValue] | None:
        """The values, where they are written one by one."""
        return self.choice if self.choice is not None else self.grid


def values_written(parameters: Mapping[str, Parameter]) -> int:
    """How many values are written one by one, those of conditions among them: at most MAX_VALUES may be."""
    lists = (values for one in parameters.values() for values in (one.listed or (), *one.when.values()))
    return sum(map(len, lists))


def _of_bearable_size(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    count = values_written(parameters)
    size = len(json.dumps({path: one.model_dump(by_alias=True, exclude_none=True) for path, one in parameters.items()}))
    for many, most, unit in ((count, MAX_VALUES, "values"), (size, FREE_FORM_BYTES, "bytes as JSON")):
        if many > most:
            said = (
                f"have {many} {unit} together: at most {most} are allowed; write fewer, or a range in place of choice"
            )
            raise PydanticCustomError("sentence", "{said}", {"said": said})
    return parameters


Parameters = Annotated[
    dict[Path, Parameter],
    Field(max_length=MAX_PARAMETERS),
    AfterValidator(_of_bearable_size),
]
"""The values to try, by the path of a field."""
