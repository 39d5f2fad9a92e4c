"""ModelDeployments with one mistake each."""

from __future__ import annotations

from typing import Any, NamedTuple

from deployment_documents import ABSENT, DEPLOYMENT, DIGEST, GATEWAY, PARENTS, SOURCE, UNIT, deployment


class Mistake(NamedTuple):
    """A document with one mistake."""

    name: str
    field: str
    """What the message has to name."""
    says: str
    """What `headway validate` says of that field."""
    document: dict[str, Any]


def _mistake(path: str, value: Any, says: str, *, field: str = "", name: str = "") -> Mistake:
    shown = "absent" if value is ABSENT else repr(value)[:40]
    return Mistake(name or f"{path}={shown}", field or path, says, deployment({path: value}))


_DIGEST = "must be sha256: and 64 digits of 0-9 and a-f, as sha256sum prints them"
_URI = "must be the folder's URI, as s3://BUCKET/PATH, gs://, abfs:// or https://, without credentials"
_VERSION = "must be the name of a version as the status has it, for example digits-3"
_QUERY: dict[str, Any] = {"name": "revenue", "prometheus": {"url": "http://prometheus:9090", "query": "up"}, "min": 1}
_QUERIES = ".analysis.queries"


def _rollout(rollout: dict[str, Any], field: str, says: str) -> Mistake:
    return _mistake("spec.rollout", rollout, says, field=f"spec.rollout{field}", name=str(rollout))


def _queries(queries: list[dict[str, Any]], field: str, says: str) -> Mistake:
    return _rollout({"analysis": {"queries": queries}}, f"{_QUERIES}{field}", says)


def _asking(prometheus: dict[str, Any], field: str, says: str) -> Mistake:
    query = {**_QUERY, "prometheus": {**_QUERY["prometheus"], **prometheus}}
    return _queries([query], f"[0].prometheus{field}", says)


_URL_FORM = "must be http:// or https://, a host, and maybe a port and a path"
_PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA{}=\n-----END PUBLIC KEY-----\n"
_KEYS = "spec.server.signature.publicKeys"
_KEY_FORM = "must be an Ed25519 key as `openssl pkey -in KEY -pubout` prints it"
SIGNATURE_MISTAKES = (
    _mistake(_KEYS, [], "at least 1 are needed"),
    _mistake(_KEYS, ["MCowBQYDK2VwAyEA"], _KEY_FORM, field=f"{_KEYS}[0]"),
    _mistake(_KEYS, [_PEM.format("A" * 42)], _KEY_FORM, field=f"{_KEYS}[0]", name="a short key"),
    _mistake(_KEYS, [_PEM.format("A" * 43).replace("PUBLIC", "PRIVATE")], _KEY_FORM, field=f"{_KEYS}[0]",
             name="a private key"),
    _mistake(_KEYS, [_PEM.format("A" * 43)] * 2, "twice", name="a key twice"),
    _mistake(_KEYS, [_PEM.format(f"{'A' * 42}{letter}") for letter in "ABCDEFGHI"], "at most 8 are allowed",
             name="nine keys"),
    _mistake("spec.server.signature", {}, "is missing; it is required", field=_KEYS),
)  # fmt: skip
"""Those of signatures."""
ROLLOUT_MISTAKES = (
    _rollout({"canary": {"steps": []}}, ".canary.steps", "at least 1 are needed"),
    _rollout({"canary": {"steps": [{"weight": 1}] * 17}}, ".canary.steps", "at most 16 are allowed"),
    _rollout({"canary": {"steps": [{"minSeconds": 5}]}}, ".canary.steps[0].weight", "is missing; it is required"),
    _rollout({"canary": {"steps": [{"weight": 0}]}}, ".canary.steps[0].weight", "below the least allowed value 1"),
    _rollout(
        {"canary": {"steps": [{"weight": 100}]}}, ".canary.steps[0].weight", "above the greatest allowed value 99"
    ),
    _rollout({"canary": {"steps": [{"weight": 2.5}]}}, ".canary.steps[0].weight", "must be a whole number"),
    _rollout(
        {"canary": {"steps": [{"weight": 5, "minSeconds": -1}]}}, ".canary.steps[0].minSeconds", "least allowed value 0"
    ),
    _rollout(
        {"canary": {"steps": [{"weight": 25}, {"weight": 5}]}}, ".canary.steps", "rise from each step to the next"
    ),
    _rollout({"canary": {"steps": [{"weight": 5}, {"weight": 5}]}}, ".canary.steps", "and no two alike"),
    _rollout({"canary": {"bakeSeconds": 604_801}}, ".canary.bakeSeconds", "greatest allowed value 604800"),
    _rollout({"canary": {"maxWeight": 50}}, ".canary.maxWeight", "unknown field `maxWeight`"),
    _rollout({"abTest": {}}, ".abTest.unit", "is missing; it is required"),
    _rollout({"abTest": {"unit": {}}}, ".abTest.unit", "set exactly one of header, cookie"),
    _rollout({"abTest": {"unit": {**UNIT, "cookie": "u"}}}, ".abTest.unit", "set exactly one of header, cookie"),
    _rollout({"abTest": {"unit": {"header": "x user"}}}, ".abTest.unit.header", "must be the name of a header"),
    _rollout({"abTest": {"unit": {"header": "x" * 129}}}, ".abTest.unit.header", "at most 128 characters"),
    _rollout({"abTest": {"unit": {"cookie": "a=b"}}}, ".abTest.unit.cookie", "must be the name of a cookie"),
    _rollout({"abTest": {"unit": UNIT, "weight": 100}}, ".abTest.weight", "greatest allowed value 99"),
    _rollout(
        {"abTest": {"unit": UNIT, "minSeconds": 0, "maxSeconds": 59}}, ".abTest.maxSeconds", "least allowed value 60"
    ),
    _rollout(
        {"abTest": {"unit": UNIT, "minSeconds": 7200, "maxSeconds": 3600}},
        ".abTest.minSeconds",
        "minSeconds is above maxSeconds",
    ),
    _rollout({"shadow": {"sample": 0}}, ".shadow.sample", "it must be above 0"),
    _rollout({"shadow": {"sample": 1.5}}, ".shadow.sample", "greatest allowed value 1"),
    _rollout({"shadow": {"then": "canary"}}, ".shadow.then", "unknown field `then`"),
    _rollout({"approval": "never"}, ".approval", "automatic, manual"),
    _rollout({"recreate": {}, "approval": "manual"}, ".approval", "approval is manual with recreate"),
    _rollout({"stepDeadlineSeconds": 59}, ".stepDeadlineSeconds", "59 is below the least allowed value 60"),
    _rollout({"onStall": "promote"}, ".onStall", "wait, rollback"),
    _rollout({"analysis": {"alpha": 0}}, ".analysis.alpha", "it must be above 0"),
    _rollout({"analysis": {"alpha": 0.9}}, ".analysis.alpha", "greatest allowed value 0.5"),
    _rollout({"analysis": {"minRequests": 0}}, ".analysis.minRequests", "least allowed value 1"),
    _rollout({"analysis": {"errors": {"maxRate": 5}}}, ".analysis.errors.maxRate", "greatest allowed value 1"),
    _rollout({"analysis": {"errors": {"notWorse": "yes"}}}, ".analysis.errors.notWorse", "must be true or false"),
    _rollout(
        {"analysis": {"latency": {"maxP99Milliseconds": 0}}},
        ".analysis.latency.maxP99Milliseconds",
        "it must be above 0",
    ),
    _rollout({"analysis": {"latency": {"p99": 80}}}, ".analysis.latency.p99", "unknown field `p99`"),
    _rollout({"analysis": {"agreement": {}}}, ".analysis.agreement.min", "is missing; it is required"),
    _rollout({"analysis": {"agreement": {"min": 90}}}, ".analysis.agreement.min", "greatest allowed value 1"),
    _rollout(
        {"shadow": {}, "analysis": {"agreement": {"min": 0.9, "sample": 0.1}}},
        ".analysis",
        "agreement.sample is not for shadow",
    ),
    _queries([_QUERY] * 2, "", "has two queries called revenue: rename one"),
    _queries([{**_QUERY, "name": f"q{number}"} for number in range(9)], "", "at most 8 are allowed"),
    _queries([{**_QUERY, "name": "Revenue"}], "[0].name", "must be lower-case letters, digits and '-'"),
    _queries([{**_QUERY, "min": None}], "[0]", "set min, max or both: without a limit a query says nothing"),
    _queries([{**_QUERY, "max": 0.5}], "[0].min", "min is above max"),
    _queries([{**_QUERY, "intervalSeconds": 4}], "[0].intervalSeconds", "below the least allowed value 5"),
    _queries([{**_QUERY, "onNoData": "promote"}], "[0].onNoData", "wait, rollback"),
    _asking({"url": "prometheus:9090"}, ".url", _URL_FORM),
    _asking({"url": "file:///etc/passwd"}, ".url", _URL_FORM),
    _asking({"url": "http://me:word@prometheus"}, ".url", _URL_FORM),
    _asking({"url": "http://prometheus/?a=b"}, ".url", _URL_FORM),
    _asking({"query": ""}, ".query", "must be a query in PromQL"),
    _asking({"query": "x" * 1025}, ".query", "at most 1024 characters"),
    _asking({"query": 'up{v="$version"}'}, ".query", "of names after a dollar sign there are $candidate"),
    _asking({"secretRef": {}}, ".secretRef.name", "is missing; it is required"),
)
"""Those of rollouts."""


def _gateway(gateway: Any, field: str, says: str, **more: Any) -> Mistake:
    changes = {GATEWAY: gateway, **more}
    return Mistake(f"gateway={gateway!r:.60}{field}", f"{GATEWAY}{field}", says, deployment(changes))


GATEWAY_MISTAKES = (
    _mistake("spec.route", "public", "but this must be a mapping"),
    _mistake("spec.route.ingress", {}, "unknown field `ingress`"),
    _gateway({}, ".parentRefs", "is missing; it is required"),
    _gateway({"parentRefs": []}, ".parentRefs", "at least 1 are needed"),
    _gateway({"parentRefs": [{"name": f"g{n}"} for n in range(9)]}, ".parentRefs", "at most 8 are allowed"),
    _gateway({"parentRefs": [{}]}, ".parentRefs[0].name", "is missing; it is required"),
    _gateway({"parentRefs": [{"name": "Public"}]}, ".parentRefs[0].name", "must be lower-case letters, digits"),
    _gateway({"parentRefs": [{"name": "a", "namespace": "a.b"}]}, ".parentRefs[0].namespace", "must be lower-case"),
    _gateway({"parentRefs": [{"name": "a", "port": 65_536}]}, ".parentRefs[0].port", "greatest allowed value 65535"),
    _gateway({"parentRefs": [{"name": "a", "kind": "Service"}]}, ".parentRefs[0].kind", "unknown field `kind`"),
    _gateway({"parentRefs": [{"name": "a"}, {"name": "a"}]}, ".parentRefs", "twice: take one out"),
    _gateway({"parentRefs": PARENTS, "hostnames": ["a.example:80"]}, ".hostnames[0]", "must be a host's name"),
    _gateway({"parentRefs": PARENTS, "hostnames": ["A.example"]}, ".hostnames[0]", "must be a host's name"),
    _gateway({"parentRefs": PARENTS, "hostnames": ["a.b", "a.b"]}, ".hostnames", "names a.b twice: take one out"),
    _gateway({"parentRefs": PARENTS, "hostnames": [f"h{n}" for n in range(17)]}, ".hostnames", "at most 16"),
    _gateway({"parentRefs": PARENTS, "pathPrefix": "digits"}, ".pathPrefix", "must be / or parts of letters"),
    _gateway({"parentRefs": PARENTS, "pathPrefix": "/a/../b"}, ".pathPrefix", "must be / or parts of letters"),
    _gateway({"parentRefs": PARENTS, "split": "both"}, ".split", "servers, gateway"),
    _gateway(
        {"parentRefs": PARENTS, "hostnames": ["a.b"], "grpc": {"hostnames": ["c.d", "a.b"]}},
        ".grpc",
        "as a listener takes a host's name for one of the two alone",
        **{"spec.server.grpc": True},
    ),
    _gateway(
        {"parentRefs": PARENTS, "grpc": {"hostnames": ["c.d"]}},
        ".grpc",
        "grpc needs hostnames of its own, and hostnames for REST beside them",
        **{"spec.server.grpc": True},
    ),
    Mistake(
        "grpc at the gateway alone",
        "spec.route",
        "route.gateway.grpc needs server.grpc: true",
        deployment({GATEWAY: {"parentRefs": PARENTS, "grpc": {"parentRefs": [{"name": "grpc"}]}}}),
    ),
    Mistake(
        "abTest by a gateway",
        "spec.route",
        "set split to servers, or take canary",
        deployment({GATEWAY: {"parentRefs": PARENTS, "split": "gateway"}, "spec.rollout": {"abTest": {"unit": UNIT}}}),
    ),
)
"""Those of gateways."""
MISTAKES = (
    _mistake("metadata.name", "Digits", "must be 1 to 38 lower-case letters"),
    _mistake("metadata.name", "d" * 39, "must be 1 to 38 lower-case letters"),
    _mistake("metadata.name", "9-lives", "begin with a letter"),
    _mistake("spec", ABSENT, "is missing; it is required"),
    _mistake("spec", ["serve"], "a list, but this must be a mapping"),
    _mistake("spec.versions", "newest", "but this must be a mapping"),
    _mistake(SOURCE, "digits", "but this must be a mapping"),
    _mistake(f"{SOURCE}.digest", ABSENT, "is missing; it is required"),
    _mistake(f"{SOURCE}.digest", "0123456789abcdef" * 4, _DIGEST),
    _mistake(f"{SOURCE}.digest", DIGEST.upper().replace("SHA", "sha"), _DIGEST),
    _mistake(f"{SOURCE}.digest", f"{DIGEST}0", "is too long: at most 71 characters are allowed"),
    _mistake(f"{SOURCE}.digest", f"sha512:{DIGEST[7:]}", _DIGEST),
    _mistake(f"{SOURCE}.persistentVolumeClaim", ABSENT, "set exactly one of uri, persistentVolumeClaim", field=SOURCE),
    _mistake(f"{SOURCE}.persistentVolumeClaim.name", "Models", "must be lower-case letters, digits"),
    _mistake(f"{SOURCE}.persistentVolumeClaim.path", "/mnt/models", "which does not begin with '/'"),
    _mistake(f"{SOURCE}.persistentVolumeClaim.path", "a/../../b", "path must not hold '..'"),
    _mistake(f"{SOURCE}.uri", "s3://models/digits", "set exactly one of uri, persistentVolumeClaim", field=SOURCE),
    _mistake(f"{SOURCE}.secretRef", {"name": "reader"}, "secretRef needs uri"),
    _mistake(SOURCE, {"uri": "/mnt/models", "digest": DIGEST}, _URI, field=f"{SOURCE}.uri"),
    _mistake(SOURCE, {"uri": "file:///mnt/models", "digest": DIGEST}, _URI, field=f"{SOURCE}.uri"),
    _mistake(SOURCE, {"uri": "s3://key:secret@models/a", "digest": DIGEST}, _URI, field=f"{SOURCE}.uri"),
    _mistake(SOURCE, {"uri": "https://me@example.com/a", "digest": DIGEST}, _URI, field=f"{SOURCE}.uri"),
    _mistake(SOURCE, {"uri": "s3://models/a\nb", "digest": DIGEST}, _URI, field=f"{SOURCE}.uri"),
    _mistake(
        SOURCE,
        {"uri": "https://example.com/a", "digest": DIGEST, "secretRef": {"name": "reader"}},
        "secretRef is for object stores",
        field=f"{SOURCE}.secretRef",
    ),
    _mistake("spec.versions.pin", "digits", _VERSION),
    _mistake("spec.versions.pin", {"name": "digits-1"}, "but this must be a string"),
    _mistake("spec.versions.abort", "digits-0", _VERSION),
    _mistake("spec.versions.approve", "yes", _VERSION),
    _mistake("spec.versions.approve", True, "but this must be a string"),
    _mistake("spec.versions.retry", "digits-1", "but this must be a list"),
    _mistake(
        "spec.versions.retry",
        ["digits-2", "digits-2"],
        "names digits-2 twice: take one out",
    ),
    _mistake("spec.versions.retry", [f"digits-{n}" for n in range(1, 10)], "at most 8 are allowed"),
    _mistake("spec.versions.keep", 0, "0 is below the least allowed value 1"),
    _mistake("spec.versions.keep", 9, "9 is above the greatest allowed value 8"),
    _mistake("spec.server", [], "a list, but this must be a mapping"),
    _mistake("spec.server.image", "two words", "must be an image's name, which holds no spaces"),
    _mistake("spec.server.resources.cpu", 0, "cpu must be above 0"),
    _mistake("spec.server.resources.memory", "0Mi", "memory must be above 0"),
    _mistake("spec.server.resources.memory", "1GB", "must be a quantity"),
    _mistake("spec.server.resources.gpu", 1, "unknown field `gpu`"),
    _mistake("spec.server.drainSeconds", -1, "-1 is below the least allowed value 0"),
    _mistake("spec.server.drainSeconds", 601, "601 is above the greatest allowed value 600"),
    _mistake("spec.server.threads", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.threads", 1025, "1025 is above the greatest allowed value 1024"),
    _mistake("spec.server.batching.maxSize", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.batching.maxSize", 65_537, "65537 is above the greatest allowed value 65536"),
    _mistake("spec.server.batching.maxDelayMilliseconds", -1, "-1 is below the least allowed value 0"),
    _mistake("spec.server.batching.maxDelayMilliseconds", 0.5, "must be a whole number"),
    _mistake(
        "spec.server.batching",
        {"maxDelayMilliseconds": 500},
        "batching.maxDelayMilliseconds must be below limits.queueMilliseconds",
    ),
    _mistake("spec.server.limits.maxRequestBytes", "2Gi", "maxRequestBytes must be from 1Ki to 1Gi"),
    _mistake("spec.server.limits.maxRequestBytes", 1023, "maxRequestBytes must be from 1Ki to 1Gi"),
    _mistake("spec.server.limits.maxRequestBytes", "16MB", "must be a quantity"),
    _mistake("spec.server.limits.maxInFlight", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.limits.queueMilliseconds", 600_001, "600001 is above the greatest allowed value 600000"),
    _mistake("spec.server.limits.timeoutSeconds", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.limits.maxConnections", 5, "unknown field `maxConnections`"),
    _mistake("spec.server.warmup.requests", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.cache.maxEntries", 0, "0 is below the least allowed value 1"),
    _mistake("spec.server.cache.ttlSeconds", 604_801, "604801 is above the greatest allowed value 604800"),
    _mistake("spec.server.records.sample", 0, "must be above 0"),
    _mistake("spec.server.records.sample", 1.5, "1.5 is above the greatest allowed value 1"),
    _mistake("spec.server.records.payloads", "some", '"some" is not one of'),
    _mistake("spec.server.records.mask", ["age", "age"], "names age twice: take one out"),
    _mistake("spec.server.records.mask", [f"c{n}" for n in range(33)], "at most 32 are allowed"),
    _mistake("spec.server.records.mask", ["a" * 65], "at most 64 characters", field="spec.server.records.mask[0]"),
    _mistake("spec.server.records.maxBytes", "1Mi", "maxBytes must be from 32Mi to 1Pi"),
    _mistake(
        "spec.server.records.persistentVolumeClaim",
        {"name": "a", "path": "a/../b"},
        "path must not hold '..'",
        field="spec.server.records.persistentVolumeClaim.path",
    ),
    _mistake("spec.server.grpc", "yes", "but this must be true or false"),
    _mistake("spec.server.workers", 2, "unknown field `workers`"),
    _mistake("spec.replicas", 0, "0 is below the least allowed value 1"),
    _mistake("spec.replicas", 1001, "1001 is above the greatest allowed value 1000"),
    _mistake("spec.replicas", "2", "take the quotes away"),
    _mistake(
        "spec.rollout",
        {"blueGreen": {}, "recreate": {}},
        "set at most one of canary, abTest, shadow, blueGreen, recreate",
    ),
    _mistake("spec.rollout", {"canary": {}, "shadow": {}}, "without any of them it is blueGreen"),
    *ROLLOUT_MISTAKES,
    *GATEWAY_MISTAKES,
    *SIGNATURE_MISTAKES,
    _mistake("spec.rollout.blueGreen.bakeSeconds", 604_801, "604801 is above the greatest allowed value 604800"),
    _mistake("spec.rollout.progressDeadlineSeconds", 9, "9 is below the least allowed value 10"),
    _mistake("spec.autoscaling", {"min": 2}, "is missing; it is required", field="spec.autoscaling.max"),
    _mistake("spec.autoscaling", {"min": 0, "max": 3}, "min: 0 needs targetInFlight", field="spec.autoscaling.min"),
    _mistake("spec.autoscaling", {"min": -1, "max": 3}, "-1 is below the least allowed", field="spec.autoscaling.min"),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "targetInFlight": 8, "idleSeconds": 60},
        "idleSeconds and holdSeconds are for min: 0",
        field="spec.autoscaling.min",
    ),
    _mistake(
        "spec.autoscaling",
        {"min": 0, "max": 3, "targetInFlight": 8, "idleSeconds": 9},
        "9 is below the least allowed value 10",
        field="spec.autoscaling.idleSeconds",
    ),
    _mistake(
        "spec.autoscaling",
        {"min": 0, "max": 3, "targetInFlight": 8, "holdSeconds": 601},
        "601 is above the greatest allowed value 600",
        field="spec.autoscaling.holdSeconds",
    ),
    _mistake(
        "spec",
        {"autoscaling": {"min": 0, "max": 3, "targetInFlight": 8}, "server": {"grpc": True}},
        "autoscaling.min: 0 is neither for server.grpc",
        field="spec.autoscaling",
        name="nothing by gRPC",
    ),
    _mistake("spec.autoscaling", {"max": 1001}, "1001 is above the greatest", field="spec.autoscaling.max"),
    _mistake("spec.autoscaling", {"min": 3, "max": 2}, "min is above max", field="spec.autoscaling.min"),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "cpuPercent": 101},
        "101 is above the greatest allowed value 100",
        field="spec.autoscaling.cpuPercent",
    ),
    _mistake(
        "spec.autoscaling", {"max": 3, "targetInFlight": 8, "cpuPercent": 70}, "set one of cpuPercent, targetInFlight"
    ),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "targetInFlight": 0},
        "0 is below the least allowed value 1",
        field="spec.autoscaling.targetInFlight",
    ),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "targetInFlight": 52},
        "at most 80 % of server.limits.maxInFlight",
    ),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "targetInFlight": 8, "scaleDownSeconds": 3601},
        "3601 is above the greatest allowed value 3600",
        field="spec.autoscaling.scaleDownSeconds",
    ),
    _mistake(
        "spec.autoscaling",
        {"max": 3, "scaleDownSeconds": 60},
        "scaleDownSeconds needs targetInFlight",
        field="spec.autoscaling.scaleDownSeconds",
    ),
    _mistake("spec.monitoring", {}, "is missing; it is required", field="spec.monitoring.drift"),
    _mistake("spec.monitoring.drift.sample", 0, "must be above 0"),
    _mistake("spec.monitoring.drift.sample", 1.5, "1.5 is above the greatest allowed value 1"),
    _mistake("spec.monitoring.drift.alpha", 0.5, "0.5 is above the greatest allowed value 0.2"),
    _mistake("spec.monitoring.drift.alpha", 0, "must be above 0"),
    _mistake("spec.monitoring.drift.minEffect", 0, "must be above 0"),
    _mistake("spec.monitoring.drift.window.rows", 99, "99 is below the least allowed value 100"),
    _mistake("spec.monitoring.drift.window.rows", 1_000_001, "1000001 is above the greatest allowed value 1000000"),
    _mistake("spec.monitoring.drift.window.seconds", 0, "0 is below the least allowed value 1"),
    _mistake("spec.monitoring.drift.persist.of", 11, "11 is above the greatest allowed value 10"),
    _mistake(
        "spec.monitoring.drift.persist",
        {"of": 2, "need": 3},
        "need is above of: so many windows are never looked at together",
        field="spec.monitoring.drift.persist.need",
    ),
    _mistake(
        "spec.monitoring.drift.persist",
        {"of": 1},
        "need is above of",
        field="spec.monitoring.drift.persist.need",
        name="of below the default of need",
    ),
    _mistake("spec.server.backend", "knative", '"knative" is not allowed: write kserve', field="spec.server.backend"),
    _mistake(
        "spec",
        {**DEPLOYMENT["spec"], "server": {"backend": "kserve"}, "rollout": {"recreate": {}}},
        "neither for rollout.recreate nor for autoscaling.min: 0",
        field="spec.server",
        name="kserve and recreate",
    ),
    _mistake(
        "spec",
        {
            **DEPLOYMENT["spec"],
            "server": {"backend": "kserve"},
            "autoscaling": {"min": 0, "max": 2, "targetInFlight": 4},
        },
        "an InferenceService is never left without pods",
        field="spec.server",
        name="kserve and no pods",
    ),
    _mistake(
        "spec",
        {**DEPLOYMENT["spec"], "server": {"backend": "kserve"}, "replicas": 101},
        "takes replicas and autoscaling.max of up to 100",
        field="spec.server",
        name="kserve and many pods",
    ),
    _mistake(
        "spec",
        {**DEPLOYMENT["spec"], "server": {"backend": "kserve"}, "autoscaling": {"max": 101}},
        "takes replicas and autoscaling.max of up to 100",
        field="spec.server",
        name="kserve and many pods by an autoscaler",
    ),
    Mistake(
        "a name too long for kserve",
        "spec",
        "metadata.name is longer than 35 characters",
        deployment({"metadata.name": "d" * 36, "spec.server.backend": "kserve"}),
    ),
    _mistake("spec.suspend", "no", "but this must be true or false"),
    _mistake("spec.model", {}, "unknown field `model`"),
)
"""At least one for each way in which a field can be wrong."""
