"""What `headway hold` is told: where servers are, and who hears of what is held."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from headway_api.autoscaling import Autoscaling
from headway_api.deployment_status import Version
from headway_api.served import ModelSource, Server
from headway_cli.hold import hold
from headway_operator.serving.render.holder import holder
from headway_operator.serving.render.objects import Of

SERVER = ("--name", "digits", "--server", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing option '--name'"),
        (("--name", "digits"), "Missing option '--server'"),
        (("--name", "digits", "--server", "digits"), "--server digits is not of the form http://HOST:PORT"),
        ((*SERVER, "--hold-seconds", "0"), "0.0 is not in the range"),
        ((*SERVER, "--most-held", "0"), "0 is not in the range"),
        ((*SERVER, "--judge", "http://a:1"), "are needed together, or none of them"),
        (
            (*SERVER, "--judge", "a", "--judge-token-file", "t", "--deployment-uid", "u"),
            "--judge 'a' is not of the form http://HOST:PORT",
        ),
    ],
)
def test_a_wrong_call_is_refused_in_words(words: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(hold, list(words))
    assert done.exit_code == 2
    assert message in done.output


def test_as_the_operator_starts_it_it_is_understood() -> None:
    source = ModelSource.model_validate({"persistentVolumeClaim": {"name": "models"}, "digest": f"sha256:{'0' * 64}"})
    version = Version(
        name="digits-1", number=1, state="Champion", source=source, server=Server(), image="server:1", since=""
    )
    scaling = Autoscaling.model_validate({"min": 0, "max": 3, "targetInFlight": 8, "holdSeconds": 7})
    made = holder(Of("digits", "default", "0f0f0f0f-uid"), "server:1", scaling, version)
    [container] = made["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["headway", "hold"]
    found = hold.make_context("hold", container["command"][2:]).params
    assert (found["name"], found["server"]) == ("digits", "http://digits-0f0f0-servers:80")
    assert (found["hold_seconds"], found["max_request_bytes"], found["port"]) == (7.0, 16 * 2**20, 8080)
    assert found["judge"] == "http://digits-0f0f0-judge:8090"
