"""The chart as Helm renders it: no cluster needed, only the helm binary (from PATH, else from hack/cluster)."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml

from harness import HACK_CLUSTER, ROOT, run

CHART = ROOT / "charts/headway"
RELEASE = "headway"
NAMESPACE = "headway-system"


@cache
def parsed(text: str) -> list[dict[str, Any]]:
    """The objects of a text, read once: with the kinds in it that takes a second."""
    return [found for found in yaml.safe_load_all(text) if found]


@dataclass(frozen=True)
class Manifests:
    """What one rendering of the chart gives."""

    text: str

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every object, in the order that Helm gives."""
        return parsed(self.text)

    def kind(self, kind: str) -> list[dict[str, Any]]:
        """The objects of one kind."""
        return [found for found in self.all if found["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """The only object of a kind (and name)."""
        found = [item for item in self.kind(kind) if name in (None, item["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects of kind {kind}, name {name}"
        return found[0]


@dataclass(frozen=True)
class Chart:
    """The chart, and a helm to render it with."""

    helm: str

    def _template(self, values: dict[str, Any], *, check: bool) -> str:
        # --kube-version: helm's own idea of a version is whatever it was built with.
        return run(
            self.helm, "template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", "1.37.0",
            "--values", "-", stdin=json.dumps(values), check=check,
        )  # fmt: skip

    def render(self, values: dict[str, Any] | None = None) -> Manifests:
        """The manifests with these values on top of the default ones."""
        return Manifests(self._template(values or {}, check=True))

    def refusal(self, values: dict[str, Any]) -> str:
        """Helm's message for values that it must not take."""
        message = self._template(values, check=False)
        assert message.startswith("Error:"), f"not refused: {values}"
        return message


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart with the machine's helm, or one that hack/cluster builds on first use."""
    found = shutil.which("helm")
    if not found and not shutil.which("go"):
        pytest.skip("needs helm, or Go to build it")
    return Chart(found or run(HACK_CLUSTER, "which", "helm", timeout=600).strip())


@pytest.fixture(scope="session")
def promtool() -> str:
    """The machine's promtool, or the one that hack/cluster fetches."""
    if not (found := shutil.which("promtool")) and not shutil.which("apt-get"):
        pytest.skip("needs promtool, or apt-get to fetch it")
    return found or run(HACK_CLUSTER, "which", "promtool", timeout=600).strip()


@pytest.fixture(scope="session")
def default(chart: Chart) -> Manifests:
    """The chart with default values."""
    return chart.render()
