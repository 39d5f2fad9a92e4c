"""A rollout's judge writes its own verdict and nothing else: the chart's role and policy before a real API server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster.bearers import Site
from cluster.paper import crds
from deployment_documents import deployment
from harness import HACK_CLUSTER, PATIENCE, ROOT, Cluster, run
from headway_api import rollout_wire as wire
from headway_api.drift_wire import DRIFT_MAX_BYTES, KEY_DRIFT, KEY_WATCH, DriftWord
from headway_api.rollout_wire import (
    KEY_LOAD,
    KEY_MEMORY,
    KEY_ROUTE,
    KEY_VERDICT,
    LOAD_MAX_BYTES,
    MEMORY_MAX_BYTES,
    SERVICE_ACCOUNT,
    VERDICT_MAX_BYTES,
    Load,
    Route,
    Verdict,
)
from headway_operator.policies import accounts
from headway_operator.serving import names
from headway_operator.serving.render import rollout
from headway_operator.serving.render.objects import Of
from headway_server.judge.process import JudgeSettings, judge_until_told
from headway_server.judge.store import ConfigMapStore, Conflict
from wire_client import ask

pytestmark = pytest.mark.cluster

NAMESPACES = ("judge-a", "judge-b")
HOME = "judge-a"
NAMED = ("own", "other")


class Judges:
    """Two deployments, `own` and `other`, each with a rollout and a judge's pod in the namespace."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.uids: dict[str, str] = {}

    def of(self, name: str) -> Of:
        """A deployment."""
        return Of(name, HOME, self.uids[name])

    def config(self, name: str) -> str:
        """The name of its ConfigMap."""
        return names.judge_name(name, self.uids[name])

    def pod(self, name: str, rest: str = "7d9f8b6c5-x2k4p") -> str:
        """The name of its judge's pod."""
        return f"{self.config(name)}-{rest}"

    def word(self, name: str = "own", **fields: Any) -> str:
        """What a judge says, as it writes it."""
        return Verdict(uid=self.uids[name], rollout=2, epoch=3, **fields).model_dump_json()

    def make_pod(self, name: str, namespace: str = HOME) -> None:
        """A pod of the judges' account."""
        spec = {"serviceAccountName": SERVICE_ACCOUNT, "nodeName": "none", "containers": [{"name": "a", "image": "b"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.site.cluster.apply(json.dumps(body), namespace)

    def says(self, token: str, data: dict[str, Any] | None, name: str = "own") -> str:
        """The API server's refusal of what is written into a ConfigMap; empty if it is done."""
        return self.site.patch(token, HOME, self.config(name), {} if data is None else {"data": data})

    def data(self, name: str = "own") -> dict[str, str]:
        """What stands in a ConfigMap."""
        return self.site.data(HOME, self.config(name))


@pytest.fixture(scope="module")
def judges(kubeconfig: Path) -> Iterator[Judges]:
    """The role and the policy as the chart renders them, in force."""
    cluster = Cluster(kubeconfig, run(HACK_CLUSTER, "which", "helm", timeout=600).strip())
    access = cluster.helm("template", "headway", str(ROOT / "charts/headway"), "--kube-version", "1.37.0",
                          "--show-only", "templates/judge-access.yaml")  # fmt: skip
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *crds())
    cluster.kubectl("apply", "-f", "-", stdin=access)
    made = Judges(Site(cluster))
    for namespace in NAMESPACES:
        cluster.kubectl("create", "namespace", namespace)
        for step in accounts.ensured(namespace, SERVICE_ACCOUNT):
            cluster.apply(json.dumps(step.body), namespace)
    for name in NAMED:
        cluster.apply(json.dumps(deployment({"metadata.name": name})), HOME)
        made.uids[name] = cluster.get("md", name, "-n", HOME)["metadata"]["uid"]
        cluster.apply(json.dumps(rollout.config_map(made.of(name), Route(uid=made.uids[name], epoch=3))), HOME)
        made.make_pod(made.pod(name))
    token = made.site.token(HOME, SERVICE_ACCOUNT, made.pod("own"))
    # A new policy is in force a moment after its creation.
    cluster.wait("the policy in force", lambda: "denied request" in made.says(token, {"x": "y"}, "other"))
    yield made
    for namespace in NAMESPACES:
        cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0")
    cluster.kubectl("delete", "namespace", *NAMESPACES, "--wait=false")
    cluster.kubectl("delete", "-f", "-", stdin=access)


@pytest.fixture
def own(judges: Judges) -> str:
    """The token of the judge of `own`, whose pod is made again where it was taken away: its node is not there."""
    judges.make_pod(judges.pod("own"))
    return judges.site.token(HOME, SERVICE_ACCOUNT, judges.pod("own"))


def test_a_judge_writes_its_verdict_and_its_memory_and_reads_the_route_by_changing_nothing(
    judges: Judges, own: str
) -> None:
    for said in (judges.word(), judges.word(verdict="fail", reason="Latency", message="slow"), judges.word(beat=9)):
        assert not judges.says(own, {KEY_VERDICT: said, KEY_MEMORY: "{}"})
        assert (judges.data()[KEY_VERDICT], judges.data()[KEY_MEMORY]) == (said, "{}")
    answer = judges.site.request(own, "PATCH", f"{HOME}/configmaps/{judges.config('own')}", {})
    assert Route.model_validate_json(answer["data"][KEY_ROUTE]) == Route(uid=judges.uids["own"], epoch=3)
    assert not judges.says(own, {KEY_MEMORY: None}), "it may forget"
    load = Load(uid=judges.uids["own"], beat=7).model_dump_json().ljust(LOAD_MAX_BYTES)
    assert not judges.says(own, {KEY_LOAD: load})
    assert judges.data()[KEY_LOAD] == load
    drift = DriftWord(uid=judges.uids["own"], state="Drifted", score=2.0).model_dump_json().ljust(DRIFT_MAX_BYTES)
    assert not judges.says(own, {KEY_DRIFT: drift})
    assert judges.data()[KEY_DRIFT] == drift


def test_a_judge_neither_writes_nor_reads_what_is_anothers(judges: Judges, own: str) -> None:
    for data in ({KEY_VERDICT: judges.word("other")}, None):
        said = judges.says(own, data, "other")
        assert f"pod {judges.pod('own')} may not write the ConfigMap {judges.config('other')}" in said
    assert KEY_VERDICT not in judges.data("other")
    assert "may not write the ConfigMap kube-root-ca.crt" in judges.site.patch(own, HOME, "kube-root-ca.crt", {})


def test_a_deployment_that_is_called_like_another_ones_judge_has_no_say_there(judges: Judges) -> None:
    for rest in ("abcde-judge-7d9f8b6c5-x2k4p", "1-a-b", "7D-x", ""):
        pod = judges.pod("own", rest).rstrip("-").lower() if rest else judges.config("own")
        judges.make_pod(pod)
        token = judges.site.token(HOME, SERVICE_ACCOUNT, pod)
        refused = "may not write the ConfigMap" in judges.says(token, {KEY_VERDICT: judges.word()})
        assert refused == (rest != "7D-x"), pod


def test_a_pod_whose_long_name_was_cut_is_the_judge_all_the_same(judges: Judges) -> None:
    judges.make_pod(judges.pod("own", "7d9f8b6x2k4p"))
    token = judges.site.token(HOME, SERVICE_ACCOUNT, judges.pod("own", "7d9f8b6x2k4p"))
    assert not judges.says(token, {KEY_VERDICT: judges.word(beat=3)})


def test_a_pod_of_the_same_name_elsewhere_and_a_token_of_no_pod_have_no_say(judges: Judges) -> None:
    judges.make_pod(judges.pod("own"), "judge-b")
    judges.site.cluster.kubectl("create", "rolebinding", "elsewhere", "-n", HOME, "--clusterrole=headway-judge",
                                f"--serviceaccount=judge-b:{SERVICE_ACCOUNT}")  # fmt: skip
    elsewhere = judges.site.token("judge-b", SERVICE_ACCOUNT, judges.pod("own"))
    assert "denied request" in judges.says(elsewhere, {KEY_VERDICT: judges.word()})
    bare = judges.site.token(HOME, SERVICE_ACCOUNT)
    assert "the token is not a pod" in judges.says(bare, {KEY_VERDICT: judges.word()})


def test_a_config_map_that_no_deployment_controls_is_nobodys(judges: Judges, own: str) -> None:
    cluster, name = judges.site.cluster, judges.config("own")
    honest = cluster.get("configmap", name, "-n", HOME)["metadata"]

    def patch(metadata: dict[str, Any]) -> None:
        said = json.dumps({"metadata": metadata})
        cluster.kubectl("patch", "configmap", name, "-n", HOME, "--type=merge", "-p", said)

    bends: tuple[dict[str, Any], ...] = (
        {"ownerReferences": []},
        {"ownerReferences": [{**honest["ownerReferences"][0], "controller": False}]},
        {"labels": {names.LABEL_DEPLOYMENT_UID: judges.uids["other"]}},
        {"labels": {names.LABEL_DEPLOYMENT_UID: None}},
    )
    try:
        for bend in bends:
            patch(bend)
            assert "may not write the ConfigMap" in judges.says(own, {KEY_VERDICT: judges.word()}), bend
            patch({key: honest[key] for key in ("ownerReferences", "labels")})
    finally:
        patch({key: honest[key] for key in ("ownerReferences", "labels")})


@pytest.mark.parametrize("bend", ["other", "no uid", "a word beside it", "nothing"])
def test_a_judge_may_not_speak_for_another_deployment_nor_for_none(judges: Judges, own: str, bend: str) -> None:
    uid = judges.uids["own"]
    said = {
        "other": judges.word("other"),
        "no uid": judges.word().replace(f'"uid":"{uid}"', '"uid":""'),
        "a word beside it": judges.word("other", message=f'"uid":"{uid}"'),
        "nothing": "",
    }[bend]
    before = judges.data()
    assert f'must hold "uid":"{uid}"' in judges.says(own, {KEY_VERDICT: said})
    assert judges.data() == before


DATA = "no other data"
METADATA = "may not change its ConfigMap's labels, annotations, owners or finalizers"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"data": {KEY_ROUTE: "{}"}}, DATA),
        ({"data": {KEY_ROUTE: None}}, DATA),
        ({"data": {"more.txt": "{}"}}, DATA),
        ({"binaryData": {"more": "YQ=="}}, DATA),
        ({"immutable": True}, DATA),
        ({"metadata": {"labels": {names.LABEL_DEPLOYMENT_UID: "x"}}}, METADATA),
        ({"metadata": {"labels": None}}, METADATA),
        ({"metadata": {"annotations": {"more": "x"}}}, METADATA),
        ({"metadata": {"ownerReferences": []}}, METADATA),
        ({"metadata": {"finalizers": ["example.com/stay"]}}, METADATA),
        ({"data": {KEY_VERDICT: (VERDICT_MAX_BYTES + 1) * "x"}}, "at most 16384 bytes"),
        ({"data": {KEY_MEMORY: (MEMORY_MAX_BYTES // 2 + 1) * "ä"}}, "at most 49152"),
        ({"data": {KEY_LOAD: (LOAD_MAX_BYTES + 1) * "x"}}, "at most 4096"),
        ({"data": {KEY_LOAD: '{"uid":"another"}'}}, "the word about another deployment is not taken"),
        ({"data": {KEY_DRIFT: (DRIFT_MAX_BYTES + 1) * "x"}}, "at most 16384 bytes"),
        ({"data": {KEY_DRIFT: '{"uid":"another"}'}}, "the word about another deployment is not taken"),
        ({"data": {KEY_WATCH: "{}"}}, DATA),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_judge_may_change_nothing_but_its_verdict_and_its_memory(
    judges: Judges, own: str, body: dict[str, Any], why: str
) -> None:
    before = judges.site.cluster.get("configmap", judges.config("own"), "-n", HOME)
    assert why in judges.site.patch(own, HOME, judges.config("own"), body)
    assert judges.site.cluster.get("configmap", judges.config("own"), "-n", HOME) == before


def test_words_of_the_full_size_are_taken(judges: Judges, own: str) -> None:
    full = judges.word().ljust(VERDICT_MAX_BYTES)
    assert not judges.says(own, {KEY_VERDICT: full, KEY_MEMORY: "x" * MEMORY_MAX_BYTES})
    assert judges.data()[KEY_VERDICT] == full


def test_a_judge_may_neither_read_nor_make_nor_delete(judges: Judges, own: str) -> None:
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    secret = f"{HOME}/secrets/{judges.config('own')}"
    for method, path, body in (
        ("GET", f"{HOME}/configmaps/{judges.config('own')}", None),
        ("GET", f"{HOME}/configmaps", None),
        ("GET", secret, None),
        ("POST", f"{HOME}/configmaps", new),
        ("DELETE", f"{HOME}/configmaps/{judges.config('own')}", None),
    ):
        said = judges.site.request(own, method, path, body)
        assert said["code"] == 403, (method, said)


class Running:
    """The judge of `own` as it runs in its pod, but in this process."""

    def __init__(self, judges: Judges, folder: Path, token: str) -> None:
        config = json.loads(judges.site.cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        server = config["clusters"][0]["cluster"]
        (folder / "ca.crt").write_bytes(base64.b64decode(server["certificate-authority-data"]))
        (folder / "token").write_text(token)
        self.address = urlsplit(server["server"])
        self.judges, self.folder = judges, folder
        self.port = 0

    def store(self, name: str = "own") -> ConfigMapStore:
        """A ConfigMap by the judge's rights."""
        host, port = str(self.address.hostname), str(self.address.port)
        return ConfigMapStore(HOME, self.judges.config(name), host=host, port=port, folder=self.folder)

    @contextlib.asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        """While it runs; then it is told to end, and ends."""
        started = asyncio.Event()

        def told(port: int, _: int) -> None:
            self.port = port
            started.set()

        settings = JudgeSettings(port=0, admin_port=0, told_by="the pod")
        running = asyncio.create_task(judge_until_told(settings, self.store(), started=told))
        await started.wait()
        try:
            yield
        finally:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(running, PATIENCE)

    async def report(self, **counts: wire.Counts) -> wire.Reply:
        """What a server of the stable version is answered."""
        row = wire.EpochCounts(epoch=4, rollout=3, share=0.1, **counts)
        said = wire.Report(uid=self.judges.uids["own"], boot="one", version=2, epoch=4, epochs=[row])
        answer = await ask(self.port, "POST", wire.REPORT_PATH, said.model_dump_json().encode())
        assert answer.status == 200, answer.body
        return wire.Reply.model_validate_json(answer.body)

    async def written(self, what: str, holds: Callable[[Verdict], bool]) -> Verdict:
        """The verdict in the ConfigMap, once this holds of it."""

        def look() -> Verdict | None:
            text = self.judges.data().get(KEY_VERDICT, "")
            said = Verdict.model_validate_json(text) if text else Verdict()
            return said if holds(said) else None

        return await asyncio.to_thread(self.judges.site.cluster.wait, what, look)


async def test_the_judge_reads_the_route_writes_what_it_finds_and_goes_on_where_it_was(
    judges: Judges, own: str, tmp_path: Path
) -> None:
    running = Running(judges, tmp_path, own)
    route = Route(uid=judges.uids["own"], epoch=4, stable=2, candidate=3, share=0.1, salt="s")
    patch = json.dumps({"data": {KEY_ROUTE: route.model_dump_json(), KEY_VERDICT: None, KEY_MEMORY: None}})
    judges.site.cluster.kubectl("patch", "configmap", judges.config("own"), "-n", HOME, "--type=merge", "-p", patch)
    async with running.process():
        await running.written("a first word", lambda said: said.rollout == 3)
        good = await running.report(stable=wire.Counts(requests=900, errors=1), candidate=wire.Counts(requests=100))
        assert good.route == route
    stopped = await running.written("the last word", lambda said: said.candidate_requests == 100)
    assert (stopped.verdict, stopped.epoch, stopped.told_by) == ("open", 4, "the pod")
    async with running.process():
        again = await running.written("a word of the next one", lambda said: said.beat > stopped.beat)
        assert again.candidate_requests == 100, "by its memory"
        bad = {"stable": wire.Counts(requests=900, errors=1), "candidate": wire.Counts(requests=200, errors=60)}
        await running.report(**bad)
        failed = await running.written("the failure", lambda said: said.verdict == "fail")
        assert (await running.report(**bad)).route == route.model_copy(update={"share": 0.0})
        assert (failed.reason, failed.candidate_requests) == ("ErrorRate", 200)


def test_of_two_judges_neither_writes_over_what_it_has_not_read(judges: Judges, own: str, tmp_path: Path) -> None:
    running = Running(judges, tmp_path, own)
    one, two = running.store(), running.store()
    try:
        for store in (one, two):
            store.exchange({})
        one.exchange({KEY_VERDICT: judges.word(beat=21)})
        with pytest.raises(Conflict):
            two.exchange({KEY_VERDICT: judges.word(beat=22)})
        assert two.exchange({})[KEY_VERDICT] == judges.word(beat=21)
        two.exchange({KEY_VERDICT: judges.word(beat=23)})
        assert judges.data()[KEY_VERDICT] == judges.word(beat=23)
    finally:
        one.close()
        two.close()


def test_another_judges_config_map_is_refused_to_it_in_the_api_servers_words(
    judges: Judges, own: str, tmp_path: Path
) -> None:
    store = Running(judges, tmp_path, own).store("other")
    for data in ({}, {KEY_VERDICT: judges.word("other")}):
        with pytest.raises(OSError, match="may not write the ConfigMap"):
            store.exchange(data)
    store.close()
