"""Each figure of a job's page, counted once more here from the status by other means."""

from __future__ import annotations

import copy
import itertools
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fake_kubectl import FakeKubectl, listed, recorded
from headway_api.status import TrainingJobStatus
from ui_visitor import Element, Visitor

NOW = datetime(2026, 11, 29, 19, 33, 9, tzinfo=UTC)
"""As the server of these tests has it."""

STATES = ("productive", "redone", "checkpointing", "starting", "preparing", "queued", "recovering", "evaluating")
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
WORDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def at(minutes: float) -> str:
    """So many minutes before now."""
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_job(draw: random.Random) -> dict[str, Any]:
    """A running job of three attempts, as an operator tells of one."""
    made = copy.deepcopy(recorded("running"))
    workers = draw.randint(1, 40)
    made["spec"]["workers"] |= {"replicas": workers, "resources": {"gpu": draw.randint(0, 8)}}
    made["spec"]["head"] = {"resources": {"gpu": draw.randint(0, 1)}}
    times = sorted((draw.uniform(1, 5000) for _ in range(9)), reverse=True)
    attempts = [
        {"number": place + 1, "name": f"churn-f5438-{place + 1}", "queuedTime": at(times[3 * place])}
        | {"startTime": at(times[3 * place + 1]), "runningTime": at(times[3 * place + 2])}
        for place in range(3)
    ]
    for place, each in enumerate(attempts[:2]):
        each |= {"endTime": at(draw.uniform(times[3 * place + 3], times[3 * place + 2])), "cause": "NodeLost"}
    made["status"] |= {
        "phase": "Running",
        "attempt": 3,
        "attempts": attempts,
        "startTime": attempts[0]["startTime"],
        "workers": {"desired": workers, "ready": draw.randint(0, workers)},
        "progress": {
            "stage": "Training", "percent": draw.randint(0, 100), "step": draw.randint(0, 10**7),
            "etaSeconds": draw.randint(0, 10**6), "samplesPerSecond": round(draw.uniform(0.01, 10**5), 2),
            "metrics": {"train/loss": repr(draw.uniform(0, 9))},
        },
        "checkpoint": {"uri": "/x", "step": draw.randint(0, 10**7), "time": at(draw.uniform(1, 3000))},
        "time": {
            "seconds": {state: draw.choice([0, 1, draw.randint(2, 10**6)]) for state in STATES},
            "goodputPercent": draw.randint(0, 100), "since": at(6000), "until": at(1),
        },
        "result": {
            "metrics": {},
            "artifacts": [
                {"name": f"file-{place}", "uri": f"/x/{place}", "sha256": f"{draw.getrandbits(256):064x}"}
                | {"sizeBytes": draw.randint(0, 2 ** draw.randint(1, 42))}
                for place in range(5)
            ],
        },
    }  # fmt: skip
    TrainingJobStatus.model_validate(made["status"])
    return made


def pods_of(draw: random.Random, job: dict[str, Any]) -> list[dict[str, Any]]:
    """A head and the workers, some ready, on a few nodes; and one of the attempt before."""
    uid = job["metadata"]["uid"]
    found = []
    for attempt, role, index in [
        ("3", "head", ""), *(("3", "worker", str(each)) for each in range(job["status"]["workers"]["desired"])),
        ("2", "worker", "0"),
    ]:  # fmt: skip
        labels = {"job": "churn", "job-uid": uid, "attempt": attempt, "role": role} | (
            {"worker": index} if index else {}
        )
        found.append(
            {
                "metadata": {
                    "name": f"{role}-{attempt}-{index}",
                    "labels": {f"headway.dev/{k}": v for k, v in labels.items()},
                },
                "spec": {"nodeName": f"node-{draw.randint(1, 4)}"},
                "status": {"conditions": [{"type": "Ready", "status": draw.choice(["True", "False"])}]},
            }
        )
    return found


def seconds(told: str) -> tuple[float, float]:
    """What a duration in words says, and how much it leaves out at most."""
    parts = re.findall(r"(\d+) (min|s|h|d)\b", told)
    assert parts, told
    least = {"s": 1, "min": 60, "h": 60, "d": 3600}[parts[0][1]]
    return sum(int(number) * WORDS[unit] for number, unit in parts), least


def is_about(told: str, wanted: float) -> bool:
    """Whether a duration in words is a number of seconds, cut to its units."""
    found, least = seconds(told)
    return found <= wanted + 1e-6 and wanted - found < least


def minutes_between(earlier: str, later: str) -> float:
    """From one time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() / 60


@pytest.mark.parametrize("seed", range(4))
async def test_each_figure_is_the_one_that_the_status_has(visitor: Visitor, kubectl: FakeKubectl, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    job = a_job(draw)
    pods = pods_of(draw, job)
    kubectl.says(job, "get", "trainingjobs.headway.dev/churn")
    kubectl.says(listed(*pods), "get", "pods")
    kubectl.says(listed(), "get", "events")
    page, status = await visitor.page("/jobs/default/churn"), job["status"]
    cards = {card.one("span").text: card.one("strong").text for card in page.one(id="now").all("li", class_="card")}
    _cards_are_right(cards, job)
    _progress_is_right(page, status["progress"])
    _time_is_right(page, status["time"]["seconds"])
    _attempts_are_right(page, status["attempts"])
    _nodes_are_right(page, [pod for pod in pods if pod["metadata"]["labels"]["headway.dev/attempt"] == "3"])
    rows = page.one("table", class_="files").rows()[1:]
    for told, file in zip(rows, status["result"]["artifacts"], strict=True):
        number, unit = told[2].replace(",", "").split()
        assert abs(float(number) * UNITS[unit] - file["sizeBytes"]) <= 0.005 * file["sizeBytes"] + 0.5
        assert file["sha256"].startswith(told[3].split(".")[0])


def _cards_are_right(cards: dict[str, str], job: dict[str, Any]) -> None:
    spec, status = job["spec"], job["status"]
    gpus = spec["workers"]["replicas"] * spec["workers"]["resources"]["gpu"] + spec["head"]["resources"]["gpu"]
    assert cards.get("GPUs", "0") == str(gpus)
    assert cards["Workers ready"] == f"{status['workers']['ready']} of {status['workers']['desired']}"
    rate = float(cards["Speed"].removesuffix(" rows/s").replace(",", ""))
    assert rate == pytest.approx(status["progress"]["samplesPerSecond"], rel=0.006)
    percent, _, spent = cards["Goodput"].partition("% of ")
    assert int(percent) == status["time"]["goodputPercent"]
    assert is_about(spent, sum(status["time"]["seconds"].values()))
    found = re.fullmatch(r"step ([\d,]+), (.+) ago", cards["Checkpoint"])
    assert found is not None
    assert int(found[1].replace(",", "")) == status["checkpoint"]["step"]
    assert is_about(found[2], minutes_between(status["checkpoint"]["time"], at(0)) * 60)
    assert cards["Attempt"] == "3"
    assert is_about(cards["Created"], minutes_between(job["metadata"]["creationTimestamp"], at(0)) * 60)


def _progress_is_right(page: Element, told: dict[str, Any]) -> None:
    assert page.one("progress").attributes["value"] == str(told["percent"])
    assert is_about(page.one("p", class_="far").one("span").text, told["etaSeconds"])
    assert f"step {told['step']:,}, {told['percent']}% done" in page.one(id="said").text
    (loss,) = page.one("ul", class_="values").all("strong")
    assert float(loss.text) == pytest.approx(float(told["metrics"]["train/loss"]), rel=0.0006)


def _time_is_right(page: Element, spent: dict[str, int]) -> None:
    spent = {state: each for state, each in spent.items() if each}
    total = sum(spent.values())
    items = page.one(id="attempts").all("ul", class_="legend")[-1].all("li")
    assert {item.text.split()[0] for item in items} == set(spent)
    for item in items:
        state, told = item.text.split(" ", 1)
        assert is_about(told.partition("(")[0], spent[state])
        percent = int(re.search(r"\((\d+)%\)", told)[1])  # type: ignore[index]  # it is there
        assert abs(percent - 100 * spent[state] / total) <= 0.5
    bars = page.one("svg", class_="shares").all("rect")
    for bar, item in zip(bars, items, strict=True):
        share = spent[item.text.split()[0]] / total
        assert float(bar.attributes["width"]) == pytest.approx(1000 * share, abs=0.06)
    ends = [float(bar.attributes["x"]) + float(bar.attributes["width"]) for bar in bars]
    assert [float(bar.attributes["x"]) for bar in bars] == pytest.approx([0, *ends[:-1]], abs=0.2)
    assert ends[-1] == pytest.approx(1000, abs=1)


def _attempts_are_right(page: Element, attempts: list[dict[str, Any]]) -> None:
    rows = [row for row in page.one("table", class_="attempts").all("tr") if row.all("svg")]
    first, whole = attempts[0]["queuedTime"], minutes_between(attempts[0]["queuedTime"], at(0))
    for row, each in zip(rows, reversed(attempts), strict=True):
        end = each.get("endTime", at(0))
        cells = [cell.text for cell in row.inner if isinstance(cell, Element)]
        assert cells[0] == str(each["number"])
        assert is_about(cells[2], minutes_between(each["queuedTime"], end) * 60)
        assert cells[3] == each.get("cause", "running")
        marks = [each["queuedTime"], each["startTime"], each["runningTime"], end]
        for bar, (begin, until) in zip(row.one("svg").all("rect"), itertools.pairwise(marks), strict=True):
            left, width = minutes_between(first, begin) / whole * 1000, minutes_between(begin, until) / whole * 1000
            # What took a moment is drawn 3 units wide, so that it is seen, and within the drawing.
            assert float(bar.attributes["x"]) == pytest.approx(min(left, 997), abs=0.06)
            assert float(bar.attributes["width"]) == pytest.approx(max(width, 3), abs=0.06)


def _nodes_are_right(page: Element, pods: list[dict[str, Any]]) -> None:
    count = Counter(pod["spec"]["nodeName"] for pod in pods)
    ready = Counter(pod["spec"]["nodeName"] for pod in pods if pod["status"]["conditions"][0]["status"] == "True")
    for node, who, told in page.one(id="nodes").one("table").rows()[1:]:
        assert told == f"{ready[node]} of {count.pop(node)}"
        here = {
            pod["metadata"]["labels"].get("headway.dev/worker", "head")
            for pod in pods
            if pod["spec"]["nodeName"] == node
        }
        named: set[str] = set()
        for part in who.split(", "):
            low, _, high = part.partition("-")
            named |= {low} if not high else set(map(str, range(int(low), int(high) + 1)))
        assert named == here
    assert not count
