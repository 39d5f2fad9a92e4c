"""The page about KServe: its deployment makes what the page says, and each reason and bound of ours stands on it."""

from __future__ import annotations

import re

import yaml

from headway_api.deployment import KSERVE_NAME_LENGTH, MOST_KSERVE_REPLICAS
from headway_operator.engine import kube
from headway_operator.serving.plan.backend import MOVING_SECONDS
from headway_operator.serving.render import kserve
from markdown_blocks import ROOT, blocks

from .serving_stage import Stage

PAGE = ROOT / "docs/how-to/kserve.md"
TEXT = PAGE.read_text()


def test_the_deployment_of_the_page_makes_the_inference_service_that_it_describes() -> None:
    [block] = [block for block in blocks(PAGE) if block.language == "yaml"]
    spec = yaml.safe_load(block.text)["spec"]
    stage = Stage({f"spec.{name}": value for name, value in spec.items()}, kserve=True)
    stage.settle()
    [service] = stage.server.of(kube.INFERENCE_SERVICES)
    assert re.fullmatch(r"digits-\w{5}-1", service["metadata"]["name"])
    marks = {**service["metadata"]["annotations"], **kserve.LABELS}
    assert {f"`{key}: {value}`" for key, value in marks.items()} == set(
        re.findall(r"`[a-z.]+kserve\.io/[^`]+: \w[^`]*`", TEXT)
    )
    [server] = service["spec"]["predictor"]["containers"]
    assert f"`{server['name']}`" in TEXT
    assert service["metadata"]["labels"]["headway.dev/deployment"] == "digits", "which the page's kubectl selects by"


def test_each_reason_and_each_bound_stands_on_the_page() -> None:
    source = (ROOT / "operator/headway_operator/serving/plan/backend.py").read_text()
    reasons = set(re.findall(r'^ +"(Not[A-Za-z]+)",$', source, re.MULTILINE))
    assert reasons == {"NotEnabled", "NotServed"}
    assert reasons <= set(re.findall(r"\| `(\w+)` \|", TEXT))
    assert f"up to {MOST_KSERVE_REPLICAS} pods" in TEXT
    assert f"up to {KSERVE_NAME_LENGTH} characters" in TEXT
    assert f"every {MOVING_SECONDS:g} s" in TEXT


def test_the_version_of_kserve_that_the_page_names_is_the_one_whose_crd_is_used() -> None:
    pinned = (ROOT / "hack/cluster/modules/kserve/go.mod").read_text()
    [version] = re.findall(r"kserve/kserve v(\S+)", pinned)
    assert f"the CRD of KServe {version}" in TEXT
