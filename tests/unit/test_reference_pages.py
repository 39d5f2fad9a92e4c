"""The pages where people look things up have all that the code has, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import yaml

import headway_trainer
from headway_api.status import Cause
from headway_operator.engine.reconcile import OPERATOR_ERROR, RECONCILED
from headway_operator.settings import PREFIX, Settings
from headway_operator.training.plan import ending, gang, pod_groups, raised, status
from markdown_blocks import ROOT

PLAN = ROOT / "operator/headway_operator/training/plan"
CONDITIONS = ROOT / "docs/reference/conditions.md"
EVENTS = "Events"
MODULES = (ending, gang, pod_groups, raised, status)
"""Where the names of reasons are."""
NO_FAILURES = {"Suspended", "Released", "Upgraded"}
"""Causes of an attempt's end that never end a job."""


def rows(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row of each table, with the heading above it."""
    heading = ""
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and not line.startswith("|---"):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]


def words(node: ast.expr) -> set[str]:
    """The values that an expression of a reason may have."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=body, orelse=other):
            return words(body) | words(other)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.startswith("REASON_"):
            return {next(getattr(module, name) for module in MODULES if hasattr(module, name))}
        case ast.Name(id="cause"):
            return set(get_args(Cause)) - NO_FAILURES
        case _:
            raise AssertionError(f"line {node.lineno}: what reason is {ast.unparse(node)}?")


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def reasons_in_code() -> set[tuple[str, str]]:
    """Each condition, or EVENTS, with each reason that the plan gives it."""
    found = set()
    for path in sorted(PLAN.glob("*.py")):
        tree = ast.parse(path.read_text())
        inside = {
            call
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) and function.name == "conclude"
            for call in ast.walk(function)
        }
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            if called(call) == "notice":
                found |= {(EVENTS, reason) for reason in words(call.args[0])}
            elif called(call) == "conclude":
                complete = named["complete"]
                assert isinstance(complete, ast.Constant)
                kind = "Complete" if complete.value else "Failed"
                found |= {(kind, reason) for reason in words(named["reason"])}
            elif called(call) == "condition" and not (call in inside and ast.unparse(call.args[2]) == "reason"):
                found |= {(kind, reason) for kind in words(call.args[0]) for reason in words(call.args[2])}
    return found


def test_the_page_of_conditions_has_each_reason_of_the_code_and_no_other() -> None:
    told = [(heading, cells[1].strip("`")) for heading, cells in rows(CONDITIONS) if cells[1] != "reason"]
    assert len(told) == len(set(told))
    assert set(told) == reasons_in_code() | {(RECONCILED, OPERATOR_ERROR)}


def test_each_alert_has_its_row_for_those_on_call() -> None:
    files = [
        yaml.safe_load((ROOT / f"charts/headway/files/{name}.yaml").read_text()) for name in ("alerts", "job-alerts")
    ]
    alerts = {f"`{rule['alert']}`" for file in files for group in file["groups"] for rule in group["rules"]}
    first = {cells[0] for _, cells in rows(ROOT / "docs/how-to/on-call.md")}
    assert {cell for cell in first if cell.startswith("`Headway")} == alerts


def test_the_page_on_own_code_lists_each_function_that_it_may_call() -> None:
    table = [cells[0] for _, cells in rows(ROOT / "docs/how-to/own-code.md") if cells[0].startswith("`")]
    assert {cell.strip("`").partition("(")[0] for cell in table} == set(headway_trainer.__all__)


def test_the_page_of_settings_has_each_setting_with_its_default() -> None:
    told = {
        cells[0].strip("`"): cells[1]
        for heading, cells in rows(ROOT / "docs/reference/settings.md")
        if cells[0].startswith(f"`{PREFIX}")
    }
    assert set(told) == {PREFIX + name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if field.default not in (None, (), ""):
            default = field.default
            text = f"{default:g}" if isinstance(default, float) else str(default)
            assert told[PREFIX + name.upper()].strip("`").lower() == text.lower()


def test_chart_values_that_pages_speak_of_exist() -> None:
    values = yaml.safe_load((ROOT / "charts/headway/values.yaml").read_text())
    tables = [cells for _, cells in rows(ROOT / "docs/how-to/install.md") if cells[0].startswith("`")]
    tables += [cells[2:] for _, cells in rows(ROOT / "docs/reference/settings.md") if "`" in cells[2]]
    for path in (name for cells in tables for name in re.findall(r"`([^`]+)`", cells[0])):
        value = values
        for key in path.split("."):
            assert key in value, path
            value = value[key]
