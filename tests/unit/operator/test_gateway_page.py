"""The page about gateways: each piece of a spec is valid and makes its routes; each reason has its row."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deployment_documents import deployment
from headway_api.validate import problems_of
from headway_operator.engine import kube
from markdown_blocks import ROOT, blocks

from .serving_stage import Stage

PAGE = ROOT / "docs/how-to/gateways.md"
PIECES = [found for block in blocks(PAGE) if block.language == "yaml" and "apiVersion" not in block.text
          for found in [yaml.safe_load(block.text)["spec"]]]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: ", ".join([*piece, *piece["route"]["gateway"]]))
def test_a_piece_of_the_page_is_valid_and_makes_its_routes(piece: dict[str, Any]) -> None:
    changes = {f"spec.{name}": value for name, value in piece.items()}
    assert problems_of(deployment(changes)) == []
    stage = Stage(changes, gateways=(kube.HTTP_ROUTES, kube.GRPC_ROUTES))
    stage.settle()
    stage.ready(1)
    stage.settle()
    assert stage.of(kube.HTTP_ROUTES) == {"digits-route"}
    assert stage.of(kube.GRPC_ROUTES) == ({"digits-route"} if "grpc" in piece["route"]["gateway"] else set())


def test_each_reason_of_our_own_has_its_row() -> None:
    source = (ROOT / "operator/headway_operator/serving/plan/gateway.py").read_text()
    reasons = set(re.findall(r'return "(?:True|False|Unknown)", "([A-Za-z]+)"', source))
    assert {"Accepted", "NotEnabled", "NotServed", "Refused", "Unheard", "Pending", "NoVersion"} == reasons
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| (True|False|Unknown) \|", line)]
    for reason in reasons:
        assert any(f"`{reason}`" in row for row in rows), reason
