"""What `headway serve` refuses before it opens a model."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from headway_cli.serve import serve


def test_a_delay_that_no_request_may_wait_for_is_refused() -> None:
    said = CliRunner().invoke(serve, ["folder", "--max-delay-milliseconds", "500"])
    assert said.exit_code == 2
    assert "--max-delay-milliseconds 500 must be below --queue-milliseconds 500" in said.output


def test_a_body_s_bound_is_in_bytes_and_has_bounds_itself() -> None:
    said = CliRunner().invoke(serve, ["folder", "--max-request-bytes", "16"])
    assert said.exit_code == 2
    assert "16 is not in the range 1024<=x<=1073741824" in said.output


@pytest.mark.parametrize("words", [["--judge=http://judge:8090"], ["--judge-token-file=t", "--deployment-uid=u"]])
def test_a_judge_needs_its_token_and_the_deployment(words: list[str]) -> None:
    said = CliRunner().invoke(serve, ["folder", *words])
    assert said.exit_code == 2
    assert "--judge, --judge-token-file and --deployment-uid are needed together" in " ".join(said.output.split())


def test_a_judge_s_address_has_a_host_and_a_port() -> None:
    said = CliRunner().invoke(serve, ["folder", "--judge=https://judge", "--judge-token-file=t", "--deployment-uid=u"])
    assert said.exit_code == 2
    assert "--judge 'https://judge' is not of the form http://HOST:PORT" in " ".join(said.output.split())
