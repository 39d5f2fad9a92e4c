"""What may stand in `spec.tracking`."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from pydantic import ValidationError

from headway_api.addresses import is_refused, is_written_refused
from headway_api.tracking import Tracking


def test_tensorboard_has_files_and_nobody_else_is_told_where_nothing_is_said() -> None:
    assert Tracking().tensorboard
    assert Tracking().named == ()
    both = Tracking.model_validate({"wandb": {"project": "p"}, "mlflow": {"uri": "http://mlflow.ml:5000"}})
    assert both.named == ("mlflow", "wandb")


@pytest.mark.parametrize(
    ("mlflow", "field", "says"),
    [
        ({"uri": "file:///tmp/runs"}, "uri", "must be http:// or https://"),
        ({"uri": "http://me:secret@mlflow:5000"}, "uri", "without credentials"),
        ({"uri": "http://mlflow:5000/?token=1"}, "uri", "without credentials"),
        ({"uri": "http://169.254.169.254/latest"}, "uri", "an address of the node or the cloud"),
        ({"uri": "http://[fd00:ec2::254]"}, "uri", "an address of the node or the cloud"),
        ({"uri": "http://[::ffff:169.254.169.254]:80"}, "uri", "an address of the node or the cloud"),
        ({"uri": "http://mlflow", "experiment": "a\nb"}, "experiment", "one line of text"),
        ({"experiment": "a"}, "uri", "required"),
        ({"uri": "http://mlflow", "token": "a"}, "token", "not permitted"),
    ],
)
def test_what_cannot_be_meant_names_its_field(mlflow: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Tracking.model_validate({"mlflow": mlflow})
    (error,) = raised.value.errors()
    assert error["loc"] == ("mlflow", field)
    must = error.get("ctx", {}).get("pattern")
    if must is None:
        assert says in error["msg"].lower() or says in error["msg"]


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "x" * 129])
def test_projects_have_names_that_a_path_of_a_url_can_hold(name: str) -> None:
    with pytest.raises(ValidationError):
        Tracking.model_validate({"wandb": {"project": name}})
    with pytest.raises(ValidationError):
        Tracking.model_validate({"comet": {"project": "p", "workspace": name}})


@pytest.mark.parametrize(
    ("url", "refused"),
    [("http://10.0.0.1", False), ("http://mlflow", False), ("http://100.100.100.200", True), ("http://", False)],
)
def test_an_address_is_judged_as_it_stands_there(url: str, refused: bool) -> None:
    assert is_written_refused(url) is refused


def test_ipv4_addresses_are_known_in_each_form_of_ipv6() -> None:
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"):
        assert is_refused(ipaddress.ip_address(text)), text
