"""`spec.evaluation`: how the finished model is judged on the test part, which nothing has seen before."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from headway_api.base import DnsName, Rule, Section, Uri, all_different, exactly_one, formed, needs
from headway_api.catalogue import Named
from headway_api.metrics import METRICS
from headway_api.training import MetricName

MAX_GATES = 32


Metric = Annotated[str, Named(METRICS, open=True)]
"""A metric of Headway, or of another Python package in the image, as `package.name`."""

GateName = Annotated[
    str,
    formed(
        r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        "must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
        max_length=63,
    ),
]


class Against(Section):
    """What a metric is compared with."""

    rules = (
        exactly_one("baseline", "job", "uri", of="comparison"),
        Rule(
            cel="!has(self.baseline) || self.baseline",
            message="baseline is true where it is set: take it out, or set job or uri",
            holds=lambda against: against.baseline is not False,
            field="baseline",
        ),
    )

    baseline: bool | None = None
    """True: always saying the most frequent class of the training part, or its mean."""
    job: DnsName | None = None
    """Another job's newest finished model, in the same namespace and below the same storage.

    The job's own name stands for the job of that name that was there before. Under `headway run`, a folder beside the
    run's own output folder.
    """
    uri: Uri | None = None
    """The `result.json` of a finished run: a local path, or a URI that the credentials of `storage` open."""


class Gate(Section):
    """What a metric of the finished model must reach."""

    rules = (
        Rule(
            cel="has(self.min) || has(self.max) || has(self.against)",
            message="set min, max or against: a gate without a bound holds nothing back",
            holds=lambda gate: gate.min is not None or gate.max is not None or gate.against is not None,
        ),
        needs("minDelta", "against", "it is how much better than something the metric must be"),
        Rule(
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
            message="min is above max, and no value is between them: correct one of the two",
            holds=lambda gate: gate.min is None or gate.max is None or gate.min <= gate.max,
            field="min",
        ),
    )

    name: GateName
    """The gate's name, for messages."""
    metric: MetricName
    """The metric as `part/name`, for example `test/f1`; a plain name is the test part's."""
    min: float | None = None
    """The least value that is good enough."""
    max: float | None = None
    """The greatest value that is good enough."""
    against: Against | None = None
    """What the metric must be better than, by at least `minDelta`."""
    min_delta: float | None = None
    """How much better than `against` the metric must be; 0 if absent, which is as good. Below 0, it may be worse.

    Better is more or less of it, as the metric has it.
    """

    @property
    def part_and_name(self) -> tuple[str, str]:
        """The part of the data and the metric's name."""
        part, slash, name = self.metric.partition("/")
        return (part, name) if slash else ("test", part)


def _names_differ(gates: list[Gate]) -> list[Gate]:
    all_different([gate.name for gate in gates])
    return gates


class Evaluation(Section):
    """The final evaluation."""

    metrics: (
        Annotated[
            list[Metric],
            Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
            AfterValidator(all_different),
        ]
        | None
    ) = None
    """Which metrics; all that fit the task if absent. precision, recall, f1 and specificity are macro averages."""
    gates: (
        Annotated[
            list[Gate],
            Field(
                max_length=MAX_GATES,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
            AfterValidator(_names_differ),
        ]
        | None
    ) = None
    """What the finished model must reach: where it does not, the job fails as GateFailed, and the model is kept."""
