"""The Dockerfile and the locks it installs; that the images work is for the tests on a real cluster."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml

from harness import ROOT

from .conftest import CHART

DOCKERFILE = (ROOT / "Dockerfile").read_text()
FIRST_WORD = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """The packages of a lock and their versions."""
    return dict(FIRST_WORD.findall((ROOT / "requirements" / f"{name}.lock").read_text()))


def instructions(stage: str) -> list[str]:
    """The instructions of one stage, continuation lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    stages = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    body = dict(zip(stages[1::2], stages[2::2], strict=True))[stage]
    return [" ".join(line.split()) for line in body.splitlines() if line.strip()]


def test_the_operators_image_has_neither_torch_nor_ray() -> None:
    heavy = {"torch", "ray", "triton", "pyarrow", "pandas", "scipy", "numpy"}
    assert not heavy & set(locked("operator"))
    assert {"torch", "ray"} <= set(locked("trainer"))


def test_the_server_s_image_has_what_serves_and_nothing_that_trains() -> None:
    heavy = {"torch", "ray", "triton", "onnx", "pyarrow", "pandas", "scipy", "kubernetes", "kopf"}
    assert not heavy & set(locked("server"))
    assert {"onnxruntime", "numpy", "uvicorn"} <= set(locked("server"))


@pytest.mark.parametrize("name", ["operator", "server", "trainer", "build"])
def test_an_image_gets_what_the_tests_ran_with(name: str) -> None:
    assert locked(name).items() <= locked("dev").items()


def test_the_wheel_is_built_by_the_pinned_backend() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert requires == [f"hatchling=={locked('build')['hatchling']}"]


@pytest.mark.parametrize("stage", ["operator", "server", "trainer"])
def test_an_image_runs_as_a_numbered_user_with_its_code_in_the_last_layer(stage: str) -> None:
    words = instructions(stage)
    assert "USER 1000:1000" in words
    layers = [line for line in words if line.startswith(("RUN ", "COPY ", "ADD "))]
    whole = "serving" if stage == "server" else "overlay"
    assert layers[-1] == f"COPY --from=code /{whole}/ /opt/headway/"
    assert not [line for line in words if line.startswith(("EXPOSE", "VOLUME", "ADD"))]
    assert ("ENTRYPOINT" in " ".join(words)) == (stage != "trainer")


def test_no_installation_goes_without_hashes_but_torch_from_an_index_of_the_users_own() -> None:
    installs = [
        part
        for stage in ("code", "operator", "server", "trainer")
        for line in instructions(stage)
        if line.startswith("RUN ")
        for part in re.split(r"&&|;", line)
        if re.search(r"(pip\S*|headway/bin/python|\$install) (install|--)", part) or "$install" in part
    ]
    free = [part for part in installs if "--requirement" in part and "--require-hashes" not in part]
    assert len(installs) >= 6
    assert free == []
    unhashed = [part for part in installs if "--require-hashes" not in part and "$install" in part]
    assert len(unhashed) == 1
    assert '--index-url "${TORCH_INDEX_URL}"' in unhashed[0]


def test_another_torch_index_replaces_torch_and_its_accelerators_libraries_alone() -> None:
    program = re.search(r"awk '(/\^\[a-z\]/ [^']+)'", DOCKERFILE)
    assert program
    lock = ROOT / "requirements/trainer.lock"
    rest = subprocess.run(["awk", program[1], lock], capture_output=True, text=True, check=True).stdout
    gone = set(locked("trainer")) - set(dict(FIRST_WORD.findall(rest)))
    assert {"torch", "triton"} <= gone
    assert all(re.match(r"(torch$|triton$|nvidia-|cuda-)", name) for name in gone)
    assert {"safetensors", "ray", "numpy"} <= set(dict(FIRST_WORD.findall(rest)))
    # Each package that stays keeps its hashes, and no hash of one that went is left.
    blocks = re.split(r"\n(?=[a-z])", lock.read_text().strip())
    kept = [block for block in blocks if block.split("==")[0] not in gone]
    assert rest.strip() == "\n".join(kept)


def test_one_version_is_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert set(re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE)) == {version}
    assert [values[name]["image"].rpartition(":")[2] for name in ("operator", "trainer")] == [version, version]


def test_the_build_context_holds_only_what_is_copied() -> None:
    allowed = {
        line.removeprefix("!").split("/")[0]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert allowed == copied
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
