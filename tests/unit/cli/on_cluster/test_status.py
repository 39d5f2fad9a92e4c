"""headway status: the table, a job, a deployment, and what the exit code says."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from commands import clean_environment
from deployment_documents import DIGEST, deployment
from fake_kubectl import FakeKubectl, error, listed, recorded
from hasty_clock import Hasty
from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.status import TrainingJobStatus
from headway_api.wording import printable
from headway_cli.cluster import polling, tables
from headway_cli.cluster.errors import UnreachedError
from headway_cli.cluster.polling import Trouble, looked
from headway_cli.cluster.times import in_bytes
from headway_cli.main import main
from headway_cli.verbs import screen, shared
from headway_cli.verbs import status as verb


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Hasty:
    made = Hasty()
    monkeypatch.setattr(verb, "CLOCK", made)
    return made


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["status", *words])


def job(**changes: Any) -> dict[str, Any]:
    """The recorded job with another name and other parts of its status."""
    made = copy.deepcopy(recorded("running"))
    made["metadata"]["name"] = changes.pop("name", "churn")
    made["metadata"]["namespace"] = changes.pop("namespace", "default")
    made["spec"] |= changes.pop("spec", {})
    made["status"] |= changes
    # What the operator's own model would leave out of it, nobody would ever see.
    TrainingJobStatus.model_validate(made["status"])
    return made


def served(**changes: Any) -> dict[str, Any]:
    """A deployment of which a second version is on its way."""
    version = {
        "source": {"persistentVolumeClaim": {"name": "models"}, "digest": DIGEST},
        "server": {},
        "image": "server:1",
        "since": "2026-11-29T18:30:00Z",
    }
    status = {
        "phase": "Progressing",
        "champion": "digits-1",
        "candidate": "digits-2",
        "versions": [
            {"name": "digits-1", "number": 1, "state": "Champion", "weight": 75, "replicas": {"desired": 2, "ready": 2}}
            | version,
            {
                "name": "digits-2",
                "number": 2,
                "state": "Candidate",
                "weight": 25,
                "replicas": {"desired": 2, "ready": 1},
            }
            | version
            | {"job": "churn"},
        ],
        "rollout": {
            "version": "digits-2",
            "number": 2,
            "stable": 1,
            "mode": "canary",
            "stage": "Splitting",
            "step": 2,
            "of": 4,
            "weight": 25,
            "since": "2026-11-29T18:57:00Z",
            "candidateRequests": 1200,
            "stableRequests": 3600,
            "gates": [{"name": "errorRate", "verdict": "pass", "value": 0.001, "limit": 0.01}],
        },
        "endpoint": {"url": "http://digits.default/v2", "grpc": "digits.default:9000"},
        **changes,
    }
    made = ModelDeploymentStatus.model_validate(status).model_dump(mode="json", by_alias=True, exclude_none=True)
    meta = {"name": "digits", "namespace": "default", "creationTimestamp": "2026-11-29T18:00:00Z"}
    return deployment() | {"metadata": meta, "status": made}


def test_a_job_is_told_as_how_far_it_is_and_what_it_does(kubectl: FakeKubectl) -> None:
    checkpoint = {"uri": "s3://models/a", "step": 7200, "time": "2026-11-29T18:56:00Z"}
    changed = job(checkpoint=checkpoint, spec={"training": {"epochs": 50}}, warnings=["a", "b", "c", "d"])
    kubectl.says(listed(changed), "get", "/churn")
    kubectl.says(recorded("pods"), "get", "pods")
    done = call("churn")
    assert done.exit_code == 0
    assert done.stderr == f"context {recorded('config')['current-context']}, namespace default\n"
    assert done.stdout.splitlines() == [
        "churn   default   Running   attempt 1   38%   epoch 19/50   step 7,410   41 min left",
        "workers     2/2 ready: kwok-0001",
        "speed       10,480 rows/s",
        "metrics     train/loss 0.231   validation/f1 0.912",
        "checkpoint  step 7,200, 4 min ago",
        "time        7 min since the first attempt began",
        "last event  7 min ago: all pods ready, 0 s after the start: 0 s for nodes, 0 s for images and joining",
        "warning     a",
        "            b",
        "            c",
        "            and 1 more: see -o yaml",
    ]


def test_where_the_time_went_is_told_where_the_operator_has_counted_it(kubectl: FakeKubectl) -> None:
    spent = {"productive": 3931, "recovering": 173, "queued": 129, "starting": 86, "stopping": 1}
    counted = job()
    counted["status"]["time"] = {"seconds": spent, "goodputPercent": 91}
    kubectl.says(listed(counted), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    (line,) = [line for line in call("churn").stdout.splitlines() if line.startswith("time")]
    assert line == "time        1 h 12 min: 91% productive, 4% recovering, 3% queued, 2% starting; goodput 91%"


@pytest.mark.parametrize("behind", [0, 1, 30, 24 * 60])
def test_how_long_a_job_took_is_right_whatever_this_machine_s_clock_says(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    ended = job(phase="Succeeded", startTime="2026-11-29T10:00:00Z", completionTime="2026-11-29T12:05:00Z")
    kubectl.says(listed(ended), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    now = datetime(2026, 11, 29, 12, 6, tzinfo=UTC) - timedelta(minutes=behind)
    monkeypatch.setattr(verb.CLOCK, "now", lambda: now)
    (line,) = [line for line in call("churn").stdout.splitlines() if line.startswith("time")]
    assert line.split(None, 1)[1] == f"2 h 5 min, ended {'1 min ago' if not behind else 'just now'}"


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 B"), (1023, "1,023 B"), (1024, "1 KiB"), (1010 << 10, "1,010 KiB"), ((1 << 20) - 1, "1 MiB"),
        (1536 << 20, "1.5 GiB"), (5 << 40, "5 TiB"), (7 << 50, "7,168 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_numbers_that_people_read(size: int, told: str) -> None:
    assert in_bytes(size) == told


def test_a_failed_job_is_told_with_its_message_and_by_the_exit_code(kubectl: FakeKubectl) -> None:
    mine = recorded("failed")
    other = copy.deepcopy(mine)
    other["status"]["conditions"][-1]["reason"] = "NodeLost"
    for failed, code in ((mine, 64), (other, 1)):
        kubectl.says(listed(failed), "get", "/bad")
        kubectl.says(listed(), "get", "pods")
        done = call("bad")
        assert done.exit_code == code
        first, message, *rest = done.stdout.splitlines()
        assert first == "bad   default   Failed   attempt 1"
        assert message.startswith("message  ValueError in train.py line 3: no \\u001b[31m column")
        assert "logs     s3://models/headway/default/bad-37c85e19/logs/attempt-1" in rest
        (kubectl.folder / "rules").unlink()
        kubectl.says(recorded("config"), "config")


def test_nothing_that_a_tenant_wrote_can_steer_the_terminal(kubectl: FakeKubectl) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\nfake   default   Succeeded\u202e"
    summary = {"message": evil, "metric": evil, "best": evil, "trials": evil}
    changed = job(
        phase="Queued", warnings=[evil], summary=summary, progress={"metrics": {evil: "1"}, "scope": evil, "step": 1}
    )
    kubectl.says(listed(changed, changed), "get")
    for words in (["churn"], [], ["-o", "wide"]):
        told = call(*words).stdout
        assert "owned" in told
        assert "\x1b" not in told
        assert "\x07" not in told
        assert "\u202e" not in told
        assert not [line for line in told.splitlines() if line.startswith("fake")]


def test_who_may_not_see_pods_sees_the_job_without_their_nodes(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.fails(error("forbidden"), "get", "pods")
    done = call("churn")
    assert done.exit_code == 0
    assert "workers     2/2 ready\n" in done.stdout


def test_a_job_that_no_operator_has_seen_says_so(kubectl: FakeKubectl) -> None:
    fresh = recorded("running")
    del fresh["status"]
    kubectl.says(listed(fresh), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    first, message = call("churn").stdout.splitlines()
    assert first == "churn   default   Pending"
    assert message == (
        "message  no operator has looked at this job for 7 min: see `kubectl get pods -n headway-system`"
    )


def test_a_deployment_is_told_with_its_rollout_gates_and_versions(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(served()), "get", "modeldeployments.headway.dev/digits")
    done = call("md/digits")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "digits   default   Progressing   2/2 ready   digits-1 answers",
        "rollout   canary of digits-2: Splitting, step 2 of 4, 25% of the requests, for 3 min; "
        "1,200 requests answered, 3,600 by the old version",
        "gate      errorRate: pass, 0.001 (held against 0.01)",
        "version   digits-2 Candidate, 25%, 1/2 ready, since 30 min ago, from job churn",
        "          digits-1 Champion, 75%, 2/2 ready, since 30 min ago",
        "endpoint  http://digits.default/v2   gRPC digits.default:9000",
    ]
    assert [each[1] for each in kubectl.calls("get")] == ["modeldeployments.headway.dev/digits"]


def test_a_deployment_whose_requests_are_watched_is_told_with_what_is_known_of_drift(kubectl: FakeKubectl) -> None:
    drift = {"state": "Drifted", "version": "digits-1", "message": "requests are unlike the rows: age (2.1)"}
    kubectl.says(listed(served(drift=drift, rollout=None)), "get", "modeldeployments.headway.dev/digits")
    told = call("md/digits").stdout.splitlines()
    assert told[-2:] == [
        "drift     Drifted: requests are unlike the rows: age (2.1)",
        "endpoint  http://digits.default/v2   gRPC digits.default:9000",
    ]


def test_the_table_has_jobs_and_deployments_and_empty_columns_are_left_out(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job(), recorded("failed"), served()), "get")
    done = call()
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "NAME    PHASE     PROGRESS   LEFT     WORKERS   METRIC                AGE   MESSAGE",
        "churn   Running   38%        41 min   2/2       validation/f1=0.912   7m    -",
        "bad     Failed    -          -        -         -                     7m    ValueError in train.py line 3: no "
        "\\u001b[31m column (not tried again, as retry.userError is 0)",
        "",
        "NAME     PHASE         READY   CHAMPION   CANDIDATE   WEIGHT   AGE",
        "digits   Progressing   2/2     digits-1   digits-2    25%      60m",
    ]


def test_all_namespaces_and_selectors_go_to_kubectl_and_namespaces_into_the_table(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job(namespace="team-a")), "get")
    done = call("-A", "-l", "team=vision", "-o", "wide")
    assert done.stderr.endswith(", all namespaces\n")
    assert done.stdout.splitlines()[0].split() == [
        *("NAMESPACE", "NAME", "PHASE", "PROGRESS", "LEFT", "WORKERS", "METRIC", "AGE", "ATTEMPT", "GPUS", "MESSAGE")
    ]
    assert done.stdout.splitlines()[1].split()[0] == "team-a"
    words = kubectl.calls("get")[0]
    assert "--selector=team=vision" in words
    assert "--all-namespaces" in words


@pytest.mark.parametrize("form", ["json", "yaml", "name"])
def test_programs_get_the_objects_as_the_api_has_them_and_no_other_word(kubectl: FakeKubectl, form: str) -> None:
    found = job()
    kubectl.says(listed(found), "get")
    one, many = call("tj/churn", "-o", form), call("-o", form)
    assert one.stderr == many.stderr == ""
    if form == "name":
        assert one.stdout == many.stdout == "trainingjob.headway.dev/churn\n"
        return
    load = json.loads if form == "json" else yaml.safe_load
    assert load(one.stdout) == found
    assert load(many.stdout)["items"] == [found]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--", "--all"], 2, "is no name"),
        (["pod/a"], 2, "write tj/NAME or md/NAME"),
        (["a", "-A"], 2, "give either a NAME"),
        (["a", "-l", "b=c"], 2, "give either a NAME"),
        (["-A", "-n", "b"], 2, "either --namespace or --all-namespaces"),
        (["-n", "--all"], 2, "no name of a namespace"),
        (["-w", "-o", "json"], 2, "leave one of the two out"),
        (["nope"], 1, "there is no TrainingJob or ModelDeployment nope"),
        (["refused"], 3, "was refused"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_its_code(
    kubectl: FakeKubectl, words: list[str], code: int, says: str
) -> None:
    kubectl.says("", "get", "/nope")
    kubectl.fails(error("refused"), "get", "/refused")
    kubectl.says(listed(), "get", "pods")
    done = call(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr


def test_an_empty_namespace_is_said_to_be_empty(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(), "get")
    assert call().stdout == "No TrainingJob and no ModelDeployment.\n"


def test_a_watch_into_a_file_has_a_line_for_each_change_and_ends_with_the_job(
    kubectl: FakeKubectl, clock: Hasty
) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(listed(job(phase="Failed", conditions=recorded("failed")["status"]["conditions"])), "get", "/churn")
    kubectl.says(recorded("pods"), "get", "pods")
    done = call("churn", "-w")
    assert done.exit_code == 64
    assert [line.split()[0:4] for line in done.stdout.splitlines()] == [
        ["19:00:00", "churn", "default", "Running"],
        ["19:00:04", "churn", "default", "Failed"],
    ]
    assert clock.passed == 4


def test_a_watch_on_a_terminal_draws_in_place_and_no_line_wraps(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(listed(job(phase="Succeeded")), "get", "/churn")
    kubectl.says(recorded("pods"), "get", "pods")
    monkeypatch.setattr(verb, "is_terminal", lambda: True)
    monkeypatch.setattr(shared, "is_terminal", lambda: True)
    monkeypatch.setattr(screen, "width", lambda: 60)
    monkeypatch.setenv("NO_COLOR", "1")
    done = call("churn", "-w")
    assert done.exit_code == 0
    first, second = done.stdout.split("\x1b[6F\x1b[J")
    assert "Running" in first
    assert "Succeeded" in second
    assert max(map(len, done.stdout.replace("\x1b[6F\x1b[J", "").splitlines())) <= 59


def test_an_object_too_deep_to_be_written_is_told_in_a_sentence(kubectl: FakeKubectl) -> None:
    deep: Any = 1
    for _ in range(450):
        deep = [deep]
    found = job()
    found["spec"]["template"] = deep
    kubectl.says(listed(found), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    done = call("churn", "-o", "yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "too deep in one another: see `kubectl get -o yaml`" in done.stderr


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("作业", 4), ("e\u0301e", 2), ("e" + "\u0301" * 50, 1), ("ok 🚀", 5), ("", 0)]
)
def test_a_line_is_as_wide_as_a_terminal_shows_it(text: str, columns: int) -> None:
    assert tables.columns_of(text) == columns


@given(st.text(max_size=60), st.integers(2, 30))
def test_a_line_that_is_cut_fits_whatever_is_in_it(text: str, width: int) -> None:
    shown = tables.fitted(printable(text), width)
    assert tables.columns_of(shown) <= width
    assert len(shown) <= width


def test_a_table_stands_in_columns_whatever_language_a_cell_is_in() -> None:
    _, first, second = tables.laid_out(["NAME", "METRIC", "MESSAGE"], [["a", "损失=1", "x"], ["b", "loss=1", "x"]])
    assert tables.columns_of(first.rpartition("x")[0]) == tables.columns_of(second.rpartition("x")[0])


def test_a_watch_ends_where_its_job_was_deleted_and_another_has_its_name(kubectl: FakeKubectl) -> None:
    other = job()
    other["metadata"]["uid"] = "00000000-aaaa-bbbb-cccc-000000000000"
    for state in (job(), job(), other):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    done = call("churn", "-w")
    assert done.exit_code == 1
    assert "churn was deleted meanwhile, and there is another job of that name" in done.stderr


def test_ctrl_c_ends_a_watch_says_so_and_leaves_the_job(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(recorded("pods"), "get", "pods")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb.CLOCK, "sleep", interrupted)
    done = call("churn", "-w")
    assert done.exit_code == 130
    assert done.stderr.endswith("Detached: what runs in the cluster goes on.\n")
    assert {each[0] for each in kubectl.calls()} == {"config", "get"}


def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(shared, "is_terminal", lambda: True)
    assert shared.coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shared.coloured()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(shared, "is_terminal", lambda: False)
    assert not shared.coloured()


def test_an_outage_while_watching_is_borne_for_ten_minutes_and_told() -> None:
    clock = Hasty()
    answers: Iterator[str | None] = iter(["a", None, None, "b", *[None] * 400])

    def look() -> str:
        answer = next(answers)
        if answer is None:
            raise UnreachedError("gone")
        return answer

    found: list[object] = []
    told = (each.seconds if isinstance(each, Trouble) else each for each in looked(look, 2.0, clock))
    with pytest.raises(UnreachedError):
        found.extend(told)
    assert found[:4] == ["a", 0.0, 2.0, "b"]
    assert found[-1] == polling.PATIENCE_SECONDS


def test_status_starts_without_pydantic_yaml_rich_or_torch() -> None:
    code = (
        "import sys; from headway_cli.main import main\n"
        "try: main(['status', '--help'])\nexcept SystemExit: pass\n"
        "slow = {'pydantic', 'yaml', 'rich', 'torch', 'ray', 'numpy', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr
