"""What the pages say about the chart: its values are taken, its queries are understood and speak of what there is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from harness import HACK_CLUSTER, run
from markdown_blocks import ROOT, Block, blocks, pages
from metric_names import known

from .conftest import Chart

VALUES = [block for page in pages() for block in blocks(page) if block.text.startswith("# values.yaml\n")]
QUERIES = sorted(
    {
        text
        for name in ("monitor.md", "on-call.md", "costs.md", "gpus.md")
        for text in re.findall(r"`([^`\n]*headway[_:][^`\n]*)`", (ROOT / "docs/how-to" / name).read_text())
        if "(" in text
    }
)


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_the_values_of_a_page_are_taken(chart: Chart, block: Block) -> None:
    assert chart.render(yaml.safe_load(block.text)).all


def test_prometheus_understands_each_query_of_a_page(tmp_path: Path) -> None:
    found = shutil.which("promtool")
    if not found and not shutil.which("apt-get"):
        pytest.skip("needs promtool, or apt-get to fetch it")
    promtool = found or run(HACK_CLUSTER, "which", "promtool", timeout=600).strip()
    rules = [{"record": f"page:query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "pages", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in run(promtool, "check", "rules", file)


def test_each_query_of_a_page_speaks_of_metrics_and_labels_that_there_are() -> None:
    labels = {name: {*found, "le"} for name, found in known().items()}
    assert len(QUERIES) > 8
    for query in QUERIES:
        names = set(re.findall(r"headway[_:][\w:]+", query))
        assert names <= set(labels), query
        spoken = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in re.split(r",\s*", group)}
        spoken |= set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", query))
        assert spoken <= set.union(*(labels[name] for name in names)), query
