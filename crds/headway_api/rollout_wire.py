"""What the operator, a deployment's judge and its servers tell each other while requests are split between versions.

The operator writes a Route into `route.json` of the deployment's rollout ConfigMap. The judge reads it, and writes a
Verdict into `verdict.json` of the same. Each server sends the judge a Report every second, and gets a Reply, which has
the Route: so a change of shares needs no watch by servers, and no right of theirs. Who is not heard changes nothing:
servers keep to the last Route, and the operator waits.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Between, Cut, StatusSection
from headway_api.queries import MOST_QUERIES
from headway_api.status_words import Message, Word

KEY_ROUTE = "route.json"
KEY_VERDICT = "verdict.json"
KEY_LOAD = "load.json"
"""How many requests are in flight, by the judge: what `autoscaling.targetInFlight` goes by."""
KEY_MEMORY = "judge.json"
"""What the judge wants to know again after a restart; nobody else reads it."""
VERDICT_MAX_BYTES = 16 * 1024
ROUTE_MAX_BYTES = 64 * 1024
LOAD_MAX_BYTES = 4 * 1024
MEMORY_MAX_BYTES = 48 * 1024
SERVICE_ACCOUNT = "headway-judge"
"""The judges' ServiceAccount in each namespace: it may patch ConfigMaps, which an admission policy narrows to its own.

A patch that changes nothing is how a judge reads: the answer has the whole ConfigMap.
"""
JUDGE_PORT = 8090
JUDGE_ADMIN_PORT = 8091
"""Health of the judge, and its metrics: no request to it needs the token."""
JUDGE_LIVE_PATH = "/v2/health/live"
JUDGE_READY_PATH = "/v2/health/ready"
"""Of the admin port, as a server has them. Ready: it takes reports, whether or not the API server answers it."""
REPORT_PATH = "/v1/report"
TOKEN_DIR = "/etc/headway/rollout"  # noqa: S105 - a path, not a secret
KEY_TOKEN = "token"  # noqa: S105 - a key, not a secret
"""The key of the deployment's rollout Secret, which servers and judge mount: reports without it, as
`Authorization: Bearer TOKEN`, are refused with 401. Space around it in the file does not count."""
HOP_HEADER = "headway-hop"
"""On a request that a server hands over to another version: the version that handed it over. It is not handed on."""
ROUTE_HEADER = "headway-route"
"""On a request that a gateway has drawn for: the epoch of the weights by which it did."""
SECONDS_HEADER = "headway-seconds"
"""On the answer to such a request: the seconds that the other server took for it, without the way."""
VERSION_HEADER = "headway-version"
"""On each answer: the version whose model gave it."""

QUERY_SECRETS_DIR = "/etc/headway/queries"
"""The judge's folder with the Secrets that queries name, each as a folder of its name."""
QUERY_SECRET_KEYS = ("url", "token", "username", "password", "ca.crt")
"""Of such a Secret: no other key of it is mounted."""

REPORT_SECONDS = 1.0
BEAT_SECONDS = 10.0
"""A judge renews its verdict so often at least; one that is older than three of these moves nothing forward."""
LOAD_BEAT_SECONDS = 15.0
"""A judge that hears servers tells of their load so often at least; what is older than three of these is no word."""
LOAD_CHANGES_SECONDS = 5.0
"""And no more often than this where it has changed, but for what is waited for."""
LOAD_HELD_SECONDS = 2.0
"""The same while requests are held: who begins to listen in the middle is to hear of them soon."""
LOAD_AVERAGE_SECONDS = 10.0
"""Over so many seconds a server's requests in flight are averaged."""
MOST_LOADS = 8
"""Versions whose load is told of at once, at most: those with the greatest numbers."""
MOST_EPOCHS = 32
"""Epochs of a rollout that counts are kept of. A rollout has far fewer steps."""
MOST_UNITS = 1000
"""Units with an event that one report names, at most."""
MOST_GATES = 16
SECONDS_BOUNDS = tuple(0.0001 * 1.1**power for power in range(144))
"""The upper bounds of Report.seconds, from 0.1 ms to 83 s, each 10 % above the one before: that is how exactly a
percentile is known."""

Mode = Literal["canary", "abTest", "shadow"]
Count = Annotated[int, Between(0, 2**53 - 1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Unit(StatusSection):
    """What a request is assigned to a version by: the same value always meets the same version. One of the two."""

    header: Annotated[str, Cut(128)] | None = None
    """The name of a header, in lower case."""
    cookie: Annotated[str, Cut(128)] | None = None
    """The name of a cookie."""


class Analysis(StatusSection):
    """What a candidate is held to; `headway_server.judge.gates` says what it means. Absent: no such gate."""

    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    """The probability, at most, that a rollout of a version as good as allowed fails by chance."""
    min_requests: Count = 500
    """Requests of a step that the candidate has to answer before it is over."""
    max_error_rate: Fraction | None = None
    """The limit to the share of errors."""
    errors_not_worse: bool = True
    """Whether its share of errors must not be above the stable version's."""
    max_p99_seconds: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """The limit to the 99th percentile of the server's time for a request."""
    latency_not_worse: bool = True
    """Whether its share of slow answers must not be above the stable version's."""
    min_agreement: Fraction | None = None
    """The least share of mirrored requests that both versions have to answer alike."""


class QueryGate(StatusSection):
    """A number of a Prometheus that a candidate is held to, with its query as it is to be asked."""

    name: Annotated[str, Cut(64)]
    """What it is called."""
    url: Annotated[str, Cut(512)]
    """The server's address."""
    query: Annotated[str, Cut(4096)]
    """In PromQL."""
    secret: Word | None = None
    """The Secret with the credentials, in the folder QUERY_SECRETS_DIR."""
    min: float | None = None
    """The least value that is allowed."""
    max: float | None = None
    """The greatest value that is allowed."""
    interval_seconds: Annotated[int, Between(1, 86_400)] = 30
    """Seconds from one evaluation to the next."""
    on_no_data: Literal["wait", "rollback"] = "wait"
    """Whether it fails for want of a value."""


class Route(StatusSection):
    """Which version gets which part of the requests. It says all: whoever reads it needs nothing of an earlier one."""

    uid: str = ""
    """The ModelDeployment's uid."""
    epoch: Count = 0
    """Grows with each change of the route, over all rollouts: counts belong to one epoch."""
    stable: Count = 0
    """The number of the version whose servers split. 0: there is no rollout, and nobody splits."""
    candidate: Count = 0
    """The number of the version that is on its way."""
    mode: Mode = "canary"
    """canary: each request is drawn for. abTest: by the unit. shadow: the candidate's answers are never given."""
    share: Fraction = 0.0
    """The share of the candidate. At 1 the stable servers hand over all that still comes to them."""
    mirror: Fraction = 0.0
    """The share of the requests answered by the stable version that the candidate gets too, to compare the answers."""
    tolerance: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 1e-3
    """Numbers that differ by no more than this, relatively, are alike; labels have to be equal."""
    unit: Unit | None = None
    """For abTest."""
    salt: Annotated[str, Cut(64)] = ""
    """Drawn once for a rollout, whatever its mode: units are assigned anew with each, and where a version is tried
    again, this tells its second rollout from its first."""
    candidate_url: Annotated[str, Cut(512)] = ""
    """Where the candidate takes requests by REST: `http://host:port`."""
    candidate_grpc: Annotated[str, Cut(512)] = ""
    """The same for gRPC, `host:port`; empty where it takes none."""
    baking: bool = False
    """Whether the candidate answers alone by now: its own servers count their requests, and only limits hold."""
    gateway: bool = False
    """Whether a gateway splits, and nobody draws: each version's servers count what they answer of the requests that
    the gateway has stamped with this epoch (ROUTE_HEADER)."""
    analysis: Analysis = Analysis()
    """What the judge holds it to."""
    queries: Annotated[list[QueryGate], Cut(MOST_QUERIES)] = Field(default_factory=list)
    """And to these. For the judge alone: its replies to servers have none of them."""


class Counts(StatusSection):
    """What a server has counted of one version's requests in an epoch, since its process began. Only grows."""

    requests: Count = 0
    """That were answered, or failed by the server's fault. Those that the client got wrong are in none of these."""
    errors: Count = 0
    """That failed by the version's fault, those among them that the other version answered in its place."""
    slow: Count = 0
    """Answered slower than Reply.slow_seconds."""
    over: Count = 0
    """Answered slower than Route.analysis.max_p99_seconds."""


class EpochCounts(StatusSection):
    """All that a server has counted in an epoch."""

    epoch: Count
    """Which."""
    rollout: Count = 0
    """The candidate's number."""
    mode: Mode = "canary"
    """The route's in it."""
    share: Fraction = 0.0
    """The candidate's share in it."""
    baking: bool = False
    """Whether the candidate answered alone in it: only what its own servers counted is taken then, and in all other
    epochs only what the stable version's did, unless `gateway`."""
    gateway: bool = False
    """Whether a gateway split in it: then each version's servers have counted what they answered of its requests."""
    stable: Counts = Counts()
    """Of the requests that the stable version answered."""
    candidate: Counts = Counts()
    """Of those that the candidate was drawn for. In mode shadow: of those that were mirrored to it."""
    mirrored: Counts = Counts()
    """In mode shadow: how the stable version did with those that were mirrored."""
    compared: Count = 0
    """Requests that both versions answered."""
    disagreed: Count = 0
    """Those that they answered differently."""


class UnitEvent(StatusSection):
    """A unit's first event of a kind in an epoch, as far as this server knows: mode abTest alone.

    Requests of one unit are not independent, so only the first of its errors in a rollout, and the first of its slow
    answers, count. The judge finds out which these are: it may be told of them by several servers, and several times.
    """

    epoch: Count
    """Which."""
    unit: Annotated[str, Cut(32)]
    """A hash of the unit with the salt; the unit itself is told to nobody."""
    candidate: bool
    """Whether the request was the candidate's."""
    kind: Literal["error", "slow"]
    """What happened: as in Counts."""


class Report(StatusSection):
    """What a server tells the judge, each second."""

    uid: str
    """The ModelDeployment's uid."""
    boot: Annotated[str, Cut(32)]
    """Drawn by the server's process when it begins: counts are those since then."""
    version: Count
    """The number of the version that it serves."""
    epoch: Count = 0
    """Of the route that it keeps to; 0: it has none."""
    gateway: bool = False
    """Whether it leaves the drawing to a gateway, as that route says: a server of before knows no such thing."""
    breaker_open: bool = False
    """Whether it has stopped to hand over requests, as the candidate failed several in a row."""
    epochs: Annotated[list[EpochCounts], Cut(MOST_EPOCHS)] = Field(default_factory=list)
    """The counts of the rollout, the newest epoch last."""
    seconds: Annotated[list[Count], Cut(256)] = Field(default_factory=list)
    """A histogram of the server's own times for requests since it began: how many took no longer than each of
    SECONDS_BOUNDS, and longer than the one before; the last one counts those above all bounds. Of the stable version's
    servers, without what they handed over."""
    units: Annotated[list[UnitEvent], Cut(MOST_UNITS)] = Field(default_factory=list)
    """Since the last report that was answered."""
    busy_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """The seconds of all requests that waited or ran, added up since the process began: what it grows by in a second is
    how many were in flight. None: it was not counted, as by servers of before."""
    asked: Count = 0
    """Requests that came since then, whatever became of them: without probes."""
    held: Count | None = None
    """Of a holder, whose version is 0: requests that no server has taken yet. None: this is a server."""


class Sampling(StatusSection):
    """What is asked of the servers of the version that is watched for drift; those of another one count nothing."""

    version: Count
    """The number of that version."""
    sample: Fraction
    """The share of its requests that is counted."""


class Reply(StatusSection):
    """What the judge answers."""

    route: Route | None = None
    """What the servers keep to from now on; its share is 0 as soon as the judge has found the candidate to fail."""
    slow_seconds: float | None = None
    """What counts as slow: a high percentile of the stable version's times from before the rollout, which is then kept.

    None: it is not known yet, and nothing is counted as slow."""
    sampling: Sampling | None = None
    """What is watched for drift, as drift_wire says; None: nothing, and nothing is counted any more."""
    judging: bool = True
    """Whether the judge knows its ConfigMap. Where not, it has taken nothing of the report, and a server keeps to the
    route that it had."""


class GateState(StatusSection):
    """How one gate stands."""

    name: Annotated[str, Cut(64)]
    """Which."""
    verdict: Literal["fail", "pass", "open"]
    """fail: the candidate is proved worse than allowed. pass: proved to keep the limit. open: neither."""
    value: float | None = None
    """The candidate's rate."""
    limit: float | None = None
    """What it is held against."""
    evidence: float = 0.0
    """E, that it is worse than allowed, as far as a number shows it. Of a query: evaluations in a row beyond a
    limit."""
    needed: float = 0.0
    """What that has to reach for the gate to fail."""
    requests: Count = 0
    """The candidate's requests that this rests on."""


def query_gate(name: str) -> str:
    """What the gate of a query is called."""
    return f"query {name}"


class Verdict(StatusSection):
    """What the judge has found."""

    uid: str = ""
    """The ModelDeployment's uid; an admission policy refuses a word without it."""
    rollout: Count = 0
    """The candidate's number; a verdict about another one is nobody's."""
    epoch: Count = 0
    """The newest epoch that it is about."""
    verdict: Literal["fail", "pass", "open"] = "open"
    """fail: the candidate is to go; it stays so. pass: enough was seen in this epoch, and no gate fails."""
    reason: Literal["ErrorRate", "Latency", "Agreement", "Query"] | None = None
    """Of a failure."""
    message: Message = ""
    """In words and numbers: which gate, value, limit, and how many requests."""
    gates: Annotated[list[GateState], Cut(MOST_GATES)] = Field(default_factory=list)
    """Each of them."""
    stable_requests: Count = 0
    """Requests of this epoch that the stable version answered."""
    candidate_requests: Count = 0
    """Requests of this epoch that the candidate was drawn for."""
    servers: Count = 0
    """Servers heard lately, of the version that counts: the stable one, or the candidate while it bakes."""
    following: Count = 0
    """Those of them that keep to the route of this epoch."""
    breakers: Count = 0
    """Those that have stopped to hand over requests."""
    slow_seconds: float | None = None
    """What counts as slow in this rollout; None: it is not known yet."""
    queries: Message = ""
    """What queries lack for a pass, in words; empty where there are none, or nothing is missing."""
    beat: Count = 0
    """Grows with each write: a word that is repeated is a new one."""
    term: Count = 0
    """Of the judge's process: each takes a greater one than the last word has, and gives way to whoever has one."""
    told_by: Word | None = None
    """The judge's pod."""


class VersionLoad(StatusSection):
    """How busy the servers of a version are."""

    version: Count
    """Its number."""
    servers: Count = 0
    """Servers that were heard a moment ago."""
    in_flight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """Requests that waited or ran in all of these, on average over LOAD_AVERAGE_SECONDS."""


class Load(StatusSection):
    """How busy a deployment's servers are, as the judge has heard."""

    uid: str = ""
    """The ModelDeployment's uid; an admission policy refuses a word without it."""
    versions: Annotated[list[VersionLoad], Cut(MOST_LOADS)] = Field(default_factory=list)
    """Of each version with servers that are heard."""
    held: Count = 0
    """Requests that holders keep, and that no server has taken yet."""
    holders: Count = 0
    """Holders that were heard a moment ago."""
    quiet_seconds: Count = 0
    """For so long no server has got a request, as far as this judge knows."""
    beat: Count = 0
    """Grows with each write: a word that is repeated is a new one."""
    told_by: Word | None = None
    """The judge's pod."""

    def of(self, version: int) -> VersionLoad | None:
        """The load of a version; None where none of its servers is heard."""
        return next((each for each in self.versions if each.version == version and each.servers), None)


def judge_command(namespace: str, config_map: str, *, load: bool = False) -> list[str]:
    """How the judge of a ConfigMap is started in its pod, which has the rollout Secret in TOKEN_DIR.

    load: whether it also tells how busy servers are.
    """
    words = ["headway", "judge", "--host", "0.0.0.0", "--namespace", namespace, "--config-map", config_map]  # noqa: S104 - a pod's own addresses
    return [*words, "--load"] if load else words
