"""Requests to a trained model are watched for drift with every part real: chart, operator, kubelet, servers and judge.

A client in the cluster sends rows through the Service all the while, as trained or shifted in one column. Windows end
within seconds, but what was said last stays for a minute: with the training this takes four, beside the cluster.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from harness import PATIENCE, ROOT, Cluster
from headway_operator.serving.plan.drift import TURN_SECONDS
from markdown_blocks import blocks
from ui_world import serving

from .conftest import made_namespace
from .node import Node
from .test_pages import type_in
from .test_serving import COMPONENT, client_pod

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

NAME = "breast-cancer"
JUDGE = "app.kubernetes.io/component=rollout-judge"
OPERATOR = ("-n", "headway-system", "-l", "app.kubernetes.io/component=operator")
PAGE = ROOT / "docs/how-to/watch-drift.md"
FEATURE, COLUMN = "mean texture", 1
SHIFT = 0.8
"""Of the column, in standard deviations: in 60 of 60 windows of this size it alarms, and none without it."""
WINDOW = 500
TURN = TURN_SECONDS + PATIENCE
"""Until the opposite of what was said last is said."""

CLIENT = """
import http.client, json, random, time

with open("/models/rows.json") as stream:
    found = json.load(stream)
chance, due = random.Random(1), time.monotonic()
told = {"sent": 0, "failed": 0, "problems": []}
while True:
    due += 0.25
    time.sleep(max(0, due - time.monotonic()))
    with open("/models/shift") as stream:
        shift = float(stream.read())
    rows = [list(row) for row in chance.choices(found["rows"], k=50)]
    for row in rows:
        row[found["column"]] += shift * found["deviation"]
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": rows}
    try:
        connection = http.client.HTTPConnection("breast-cancer", timeout=10)
        connection.request("POST", "/v2/models/breast-cancer/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {text[:200]}")
        told["sent"] += 1
    except Exception as error:
        told["failed"] += 1
        told["problems"] = [*told["problems"][-4:], repr(error)[:200]]
    finally:
        connection.close()
    print(json.dumps(told), flush=True)
"""


@dataclass(frozen=True)
class Watched:
    """The deployment, and who asks it."""

    cluster: Cluster
    namespace: str
    volume: Path
    """The claim's folder, as this machine reaches it."""
    kubeconfig: Path
    """By which the namespace is the one that commands are about."""

    def kubectl(self, *words: str, check: bool = True) -> str:
        """In the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, check=check)

    def items(self, *words: str) -> list[dict[str, Any]]:
        """In the namespace."""
        return self.cluster.items("-n", self.namespace, *words)

    def status(self) -> dict[str, Any]:
        """What is said of the deployment."""
        found: dict[str, Any] = self.cluster.get("md", NAME, "-n", self.namespace).get("status", {})
        return found

    def drift(self) -> dict[str, Any]:
        """And of drift."""
        found: dict[str, Any] = self.status().get("drift", {})
        return found

    def said(self) -> tuple[str, str]:
        """The condition's status and reason."""
        found = (each for each in self.status().get("conditions", ()) if each["type"] == "Drifted")
        return next(((each["status"], each["reason"]) for each in found), ("", ""))

    def events(self) -> list[str]:
        """Reasons of what was told of drift."""
        found = self.items("events", "--field-selector", f"involvedObject.name={NAME}")
        return [each["reason"] for each in found if each["reason"].startswith("Drift")]

    def wait(self, what: str, check: Any, within: float = PATIENCE) -> None:
        """Until it is so; else an error with all there is to know."""
        try:
            self.cluster.wait(what, check, within)
        except AssertionError as error:
            more = [
                self.kubectl("get", "md", NAME, "-o", "yaml", check=False),
                self.kubectl("get", "configmaps", "-l", "headway.dev/deployment", "-o", "yaml", check=False),
                self.kubectl("get", "pods", "-o", "wide", check=False),
                self.kubectl("logs", "-l", "headway.dev/deployment", "--prefix", "--tail=30", check=False),
                self.kubectl("logs", "client", "--tail=2", check=False),
            ]
            raise AssertionError("\n".join([str(error), *more])) from None

    def watch(self, drift: dict[str, Any] | None) -> None:
        """Change what is watched, as a person does."""
        patch = {"spec": {"monitoring": {"drift": drift} if drift is not None else None}}
        self.kubectl("patch", "md", NAME, "--type=merge", "-p", json.dumps(patch))

    def shift(self, by: float) -> None:
        """What the client sends from now on."""
        new = self.volume / "shift.new"
        new.write_text(str(by))
        new.replace(self.volume / "shift")

    def counted(self) -> dict[str, Any]:
        """What the client has counted."""
        lines = self.kubectl("logs", "client", "--tail=1").splitlines()
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {"sent": 0, "failed": 0}
        return found

    def versions(self) -> tuple[Any, ...]:
        """All that would change if a version was rolled out, or pods were made: versions, Deployments, pods."""
        status, made = self.status(), self.items("deployments,replicasets,pods", "-l", "headway.dev/version")
        objects = [(each["kind"], each["metadata"]["uid"], each["metadata"].get("generation")) for each in made]
        restarts = [each["status"]["containerStatuses"][0]["restartCount"] for each in made if each["kind"] == "Pod"]
        return status["lastNumber"], status["champion"], len(status["versions"]), sorted(objects), restarts

    def metrics(self) -> dict[str, float]:
        """What all replicas of the operator tell of the deployment's drift."""
        lines = []
        for pod in self.cluster.items("pods", *OPERATOR):
            url = f"http://{pod['status']['podIP']}:8080/metrics"
            script = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=20).read().decode())"
            lines += self.kubectl("exec", "client", "--", "python", "-c", script).splitlines()
        ours = f'deployment_namespace="{self.namespace}"'
        found = [line.rpartition(" ") for line in lines if line.startswith("headway_deployment_d") and ours in line]
        return {name: float(value) for name, _, value in found if "_drift_" in name or "_data_quality_" in name}

    @contextmanager
    def nothing_is_lost(self, state: str) -> Iterator[None]:
        """The status goes on to say so all the while, and the number of windows never falls."""
        seen: list[tuple[str, int]] = []
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.5):
                found = self.drift()
                seen.append((found.get("state", ""), found.get("windows", 0)))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        windows = [each for _, each in seen]
        assert {each for each, _ in seen} == {state}, seen
        assert windows == sorted(windows), windows

    def more_windows(self, many: int = 3) -> None:
        """So many windows more are over than now: in all of the last ones rows are of one kind."""
        before = self.drift().get("windows", 0)
        self.wait("more windows", lambda: self.drift().get("windows", 0) >= before + many)

    def replaced(self, labels: str) -> None:
        """A pod is deleted, and another is ready in its place."""
        pods = self.items("pods", "-l", labels)
        victim = min(each["metadata"]["name"] for each in pods)
        self.kubectl("delete", "pod", victim, "--wait=false")

        def there() -> bool:
            found = [each for each in self.items("pods", "-l", labels) if "deletionTimestamp" not in each["metadata"]]
            ready = [
                each["metadata"]["name"]
                for each in found
                if any(one.get("ready") for one in each["status"].get("containerStatuses", ()))
            ]
            return victim not in ready and len(ready) == len(pods)

        self.wait(f"another pod in the place of {victim}", there)


@pytest.fixture(scope="module")
def watched(headway: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The model of examples/breast-cancer.yaml, trained and served as in its example, but not watched yet."""
    with made_namespace(headway) as namespace:
        headway.apply((ROOT / "examples/breast-cancer.yaml").read_text(), namespace)
        trained = headway.finished(NAME, namespace)["status"]
        assert trained["phase"] == "Succeeded", headway.story(NAME, namespace)
        folder = tmp_path_factory.mktemp("drift")
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(headway.kubeconfig.read_text())
        headway.kubectl(f"--kubeconfig={kubeconfig}", "config", "set-context", "--current", f"--namespace={namespace}")
        made = Watched(headway, namespace, node.volume(namespace), kubeconfig)
        data = load_breast_cancer().data
        told = {"rows": data.tolist(), "column": COLUMN, "deviation": float(data[:, COLUMN].std())}
        (made.volume / "rows.json").write_text(json.dumps(told))
        made.shift(0.0)
        document = yaml.safe_load((ROOT / "examples/serving/breast-cancer-watched.yaml").read_text())
        document["spec"]["versions"] = {"source": trained["result"]["bundle"]}
        document["spec"] |= {"replicas": 2}
        del document["spec"]["monitoring"]
        document["spec"]["server"] |= {"resources": {"cpu": "200m", "memory": "512Mi"}, "drainSeconds": 5}
        headway.apply(json.dumps(document), namespace)
        made.wait("the model answers", lambda: made.status().get("phase") == "Ready")
        pod = client_pod(headway.images["operator"], [], [])
        pod["spec"]["containers"][0]["command"] = ["python", "-c", CLIENT]
        headway.apply(json.dumps(pod), namespace)
        made.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
        made.wait("an answer", lambda: made.counted()["sent"] > 0)
        yield made
        made.kubectl("delete", "md", NAME, "--timeout=60s")
        made.kubectl("delete", "pod", "client", "--wait=false")


def test_rows_as_trained_are_stable_and_to_watch_them_makes_no_pods_and_no_version(watched: Watched) -> None:
    before = watched.versions()
    assert watched.said() == ("", "")
    assert not watched.items("pods", "-l", JUDGE)
    watched.watch({"sample": 1, "window": {"rows": WINDOW}})
    watched.wait("it is stable", lambda: watched.said() == ("False", "Stable"))
    watched.more_windows()
    drift = watched.drift()
    assert (drift["state"], drift["version"]) == ("Stable", watched.status()["champion"])
    assert drift["score"] < 1
    assert watched.versions() == before
    assert [each["status"]["phase"] for each in watched.items("pods", "-l", JUDGE)] == ["Running"]
    assert watched.events() == []
    told = watched.metrics()
    labels = f'deployment_namespace="{watched.namespace}",deployment_name="{NAME}",version="{drift["version"]}"'
    assert told[f"headway_deployment_drift_score{{{labels}}}"] < 1
    assert told[f'headway_deployment_drift_state{{{labels},state="Stable"}}'] == 1.0
    assert told[f"headway_deployment_data_quality_problems{{{labels}}}"] == 0.0


def test_another_judge_and_another_server_go_on_where_the_ones_before_were(watched: Watched) -> None:
    with watched.nothing_is_lost("Stable"):
        watched.replaced(JUDGE)
        watched.more_windows()
        watched.replaced(COMPONENT)
        watched.more_windows()
    assert watched.said() == ("False", "Stable")


def test_rows_that_are_shifted_in_one_column_are_told_everywhere(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched.shift(SHIFT)
    watched.wait("it has drifted", lambda: watched.said() == ("True", "Drifted"), TURN)
    watched.more_windows()
    drift = watched.drift()
    assert drift["features"][0]["name"] == FEATURE, drift
    assert {each["name"] for each in drift["features"]} <= {FEATURE, "prediction"}, drift
    assert drift["score"] == drift["features"][0]["score"] > 3
    assert "unlike the training rows in " in drift["message"]
    assert f"{FEATURE} (score " in drift["message"]
    assert watched.events() == ["Drifted"]
    labels = f'deployment_namespace="{watched.namespace}",deployment_name="{NAME}",version="{drift["version"]}"'
    told = watched.metrics()
    assert told[f"headway_deployment_drift_score{{{labels}}}"] > 3
    assert told[f'headway_deployment_drift_state{{{labels},state="Drifted"}}'] == 1.0

    with watched.nothing_is_lost("Drifted"):
        watched.replaced(JUDGE)
        watched.more_windows()

    commands = next(block.text for block in blocks(PAGE) if block.language == "sh")
    as_read = Cluster(watched.kubeconfig)
    said = type_in(tmp_path, commands, as_read)
    assert f"drift     Drifted: requests are unlike the rows that version {drift['version']} was trained on" in said
    assert '"state":"Drifted"' in said
    assert said.count(f"{FEATURE} (score ") >= 2, said

    monkeypatch.setenv("KUBECONFIG", str(watched.kubeconfig))
    with serving() as address:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        browser.open(address, timeout=30).close()
        root = address.partition("?")[0]
        with browser.open(f"{root}deployments/{watched.namespace}/{NAME}", timeout=30) as answer:
            page = answer.read().decode()
    assert "Drifted" in page
    assert FEATURE in page


def test_rows_as_trained_again_clear_it_and_no_request_has_failed(watched: Watched) -> None:
    watched.shift(0.0)
    watched.wait("it is stable again", lambda: watched.said() == ("False", "Stable"), TURN)
    watched.more_windows()
    assert watched.drift()["score"] < 1
    assert sorted(watched.events()) == ["DriftEnded", "Drifted"]
    before = watched.versions()
    watched.watch(None)
    watched.wait("nothing is said of drift", lambda: watched.said() == ("", "") and not watched.drift())
    watched.wait("the judge is gone", lambda: not watched.items("pods", "-l", JUDGE))
    assert watched.versions() == before
    assert watched.metrics() == {}
    told = watched.counted()
    assert (told["failed"], told["problems"]) == (0, [])
    assert told["sent"] > 200
