"""The parts of hack/cluster that are pure: no root, no network, no cluster."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from headway_cluster import build, cli, images, lifecycle, objects, pause
from headway_cluster.errors import ClusterError
from headway_cluster.paths import HERE, Paths


def test_each_module_is_pinned_with_its_checksums() -> None:
    for module in (*build.ALL, *build.ASKED_FOR):
        if module.path:
            assert re.fullmatch(r"v\d+\.\d+\.\d+", module.version())
            assert f"{module.path} {module.version()} h1:" in (HERE / "modules" / module.folder / "go.sum").read_text()


def test_what_stands_in_for_a_part_of_a_module_is_there_and_named_as_that_part_is() -> None:
    for path, file in build.TRAEFIK.stubs.items():
        assert f"\t{path} v" in (HERE / "modules/traefik/go.mod").read_text()
        assert (HERE / "modules/traefik/stubs" / Path(file).name).is_file()


def test_kubernetes_staging_modules_follow_its_version() -> None:
    version = build.KUBERNETES.version().replace("v1.", "v0.", 1)
    text = (HERE / "modules/kubernetes/go.mod").read_text()
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    assert len(replaced) > 30
    assert all(name == target and found == version for name, target, found in replaced)


def test_kubernetes_programs_know_their_version() -> None:
    assert f"gitVersion={build.KUBERNETES.version()}" in build._flags(build.KUBERNETES)
    assert build._flags(build.ETCD) == "-s -w"


def test_addresses_of_a_name_are_a_pair_of_their_own() -> None:
    one, other = Paths("headway"), Paths("other")
    assert one.ip != other.ip
    assert one.veth != other.veth
    assert len(Paths("a" * 30).veth) <= 15
    assert one.ip.rpartition(".")[0] == one.host_ip.rpartition(".")[0]


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a/b", "a-", "a" * 31])
def test_a_name_that_could_not_be_a_folder_or_host_is_refused(name: str) -> None:
    with pytest.raises(ClusterError):
        Paths(name)


@pytest.mark.parametrize(
    ("real_node", "choice", "taint"),
    [(True, "auto", True), (False, "auto", False), (True, "never", False), (False, "always", True)],
)
def test_paper_nodes_repel_pods_beside_a_real_node(real_node: bool, choice: str, taint: bool) -> None:
    options = lifecycle.Options(1, real_node, choice)
    assert options.taint() is taint
    assert bool(objects.kwok_node(0, options.taint())["spec"].get("taints")) is taint


def test_ready_programs_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = tmp_path / "etcd"
    ready.write_text("#!/bin/sh\n")
    ready.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert build.program(build.ETCD, "etcd") == str(ready)
    assert build._wanted(build.ETCD) == {}


def test_a_cluster_of_ones_own_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWAY_TEST_KUBECONFIG", "/mine")
    for verb in ("up", "kubeconfig", "down"):
        assert cli.main([verb]) == 0
    assert capsys.readouterr().out.split() == ["/mine", "/mine"]


def test_pause_archive_is_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path))
    program = Path(build.program(build.PAUSE, "pause"))
    program.parent.mkdir(parents=True)
    program.write_bytes(b"program")
    with tarfile.open(pause.pause_archive()) as archive:
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        manifest = index["manifests"][0]["digest"].replace(":", "/")
        layers = json.load(archive.extractfile(f"blobs/{manifest}"))["layers"]  # type: ignore[arg-type]
        assert archive.getmember(f"blobs/{layers[0]['digest'].replace(':', '/')}").size == layers[0]["size"]
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == pause.PAUSE_IMAGE


def test_pip_settings_from_the_environment_reach_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/only/here")
    text = images._pip_conf(tmp_path).read_text()
    assert "index-url = https://packages.example/simple" in text
    assert "/only/here" not in text


def test_registry_lists_its_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_CACHE", str(tmp_path))
    (tmp_path / "registry/docker/registry/v2/repositories/a/b/_manifests/tags/v1").mkdir(parents=True)
    assert images.listed() == ["registry.headway.local:5000/a/b:v1"]


@pytest.mark.parametrize(
    ("target", "built_before", "free", "problem"),
    [
        ("trainer", False, 24.0, "24.0 GiB free .* building the trainer image with all that it depends on takes 25"),
        ("trainer", False, 26.0, None),
        ("trainer", True, 4.0, None),
        ("trainer", True, 2.0, "2.0 GiB free .* building the trainer image again takes 3"),
        ("operator", False, 3.5, "building the operator image with all that it depends on takes 4"),
        ("operator", False, 5.0, None),
    ],
)
def test_an_image_asks_for_the_disk_that_its_build_takes(
    monkeypatch: pytest.MonkeyPatch, target: str, built_before: bool, free: float, problem: str | None
) -> None:
    labels: list[str] = []

    def in_store(*argv: str | Path, **_: object) -> str:
        labels.append(str(argv[-1]))
        return "4f2c1e9" if built_before else ""

    monkeypatch.setattr(images, "_apart", in_store)
    monkeypatch.setattr(images, "free_gib", lambda _: free)
    monkeypatch.setattr(images, "build", lambda *_, options: f"built {options[-1]}")
    if problem is not None:
        with pytest.raises(ClusterError, match=problem):
            images._build_project(target, "mine:1", [])
    else:
        built = images._build_project(target, "mine:1", [])
        assert labels == [f"label={built.removeprefix('built ')}"], "what is looked for is what is written"


def test_other_dependencies_are_another_label() -> None:
    told = {images._dependencies(target, words) for target in images.PROJECT_TARGETS for words in ([], ["A=1"])}
    assert len(told) == 2 * len(images.PROJECT_TARGETS)
