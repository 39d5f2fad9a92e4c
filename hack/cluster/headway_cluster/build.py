"""The programs a cluster is made of, built from pinned Go modules into the cache, keyed by version."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ClusterError
from .paths import MODULES, cache_dir, locked
from .shell import find, run, say

_NICE = ("nice", "-n", "5")
_HOW = ("-mod=readonly", "-trimpath")
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
_STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """One folder under modules/, the Go module that it pins, and the programs built from it."""

    folder: str
    path: str
    programs: dict[str, str] = field(default_factory=dict)
    stubs: dict[str, str] = field(default_factory=dict)
    """By the path of a Go module that this one requires, and a file within it: the file of the folder's `stubs` that is
    built in its place."""

    def version(self) -> str:
        """The pinned version: go.mod is the only place that names it."""
        text = (MODULES / self.folder / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s*{re.escape(self.path)} (v\S+)", text, re.MULTILINE)
        if not found:
            raise ClusterError(f"modules/{self.folder}/go.mod does not require {self.path}")
        return found.group(1)

    def out(self) -> Path:
        return cache_dir() / "bin" / f"{self.folder}-{self.version() if self.path else 'v1'}"


def _k8s(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


KUBERNETES = Module(
    "kubernetes",
    "k8s.io/kubernetes",
    _k8s("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
)
KUBECTL = Module("kubernetes", "k8s.io/kubernetes", _k8s("kubectl"))
ETCD = Module("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"})
KWOK = Module("kwok", "sigs.k8s.io/kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"})
HELM = Module("helm", "helm.sh/helm/v3", {"helm": "helm.sh/helm/v3/cmd/helm"})
COREDNS = Module("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"})
S3 = Module("versitygw", "github.com/versity/versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"})
TRAEFIK = Module(
    "traefik",
    "github.com/traefik/traefik/v3",
    {"traefik": "github.com/traefik/traefik/v3/cmd/traefik"},
    {"github.com/go-acme/lego/v5": "providers/dns/zz_gen_dns_providers.go"},
)
"""A gateway of the Gateway API. It takes some minutes to build, so it is not built unless it is asked for."""
PAUSE = Module("pause", "", {"pause": "."})
ALL = (KUBERNETES, ETCD, COREDNS, PAUSE, KWOK, S3, HELM)
ASKED_FOR = (TRAEFIK,)
"""Beside them."""
GATEWAY_API = "sigs.k8s.io/gateway-api"
KSERVE = Module("kserve", "github.com/kserve/kserve")
"""For its CRD; nothing of it is built."""


def asset(program: str) -> Path | None:
    """A ready program from KUBEBUILDER_ASSETS, which people who have envtest's binaries already set."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(folder) / program if folder else None
    return path if path and os.access(path, os.X_OK) else None


def _wanted(module: Module) -> dict[str, str]:
    return {
        name: package
        for name, package in module.programs.items()
        if asset(name) is None and not (module.out() / name).exists()
    }


def _flags(module: Module) -> str:
    """Kubernetes' programs call themselves v0.0.0, and clients misbehave, without the version stamped in."""
    if module.path != "k8s.io/kubernetes":
        return "-s -w"
    version = module.version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return "-s -w " + " ".join(f"-X {_STAMP}.{key}={value}" for key, value in stamps.items())


def _stubbed(module: Module, go: str, beside: Path) -> Path:
    """The module's folder, copied, with modules that it requires replaced by copies in which a stub stands."""
    folder = beside / "module"
    shutil.copytree(MODULES / module.folder, folder)
    for path, file in module.stubs.items():
        copy = folder / "replaced" / path
        shutil.copytree(_unpacked(module, path, go), copy)
        for found in (copy, *copy.rglob("*")):
            found.chmod(found.stat().st_mode | 0o200)
        shutil.copyfile(folder / "stubs" / Path(file).name, copy / file)
        with (folder / "go.mod").open("a") as text:
            text.write(f"\nreplace {path} => ./replaced/{path}\n")
    return folder


def _unpacked(module: Module, path: str, go: str) -> Path:
    """The folder of a Go module that this one requires, in the version that it pins."""
    said = run([go, "mod", "download", "-json", path], cwd=MODULES / module.folder, env=_ENVIRONMENT)
    return Path(json.loads(said)["Dir"])


def gateway_crds() -> Path:
    """The folder with the CRDs of the Gateway API (its standard channel), in the version that Traefik is built with."""
    return _unpacked(TRAEFIK, GATEWAY_API, _go()) / "config/crd/standard"


def kserve_crd() -> Path:
    """The CRD of KServe's InferenceService, with its whole schema."""
    folder = _unpacked(KSERVE, KSERVE.path, _go()) / "config/crd/full"
    return folder / "serving.kserve.io_inferenceservices.yaml"


def _go() -> str:
    go = find("go", "/usr/local/go/bin")
    if go is None:
        raise ClusterError("go is missing: install Go 1.26 or newer (or set KUBEBUILDER_ASSETS)")
    return go


def _compile(module: Module, wanted: dict[str, str]) -> None:
    """Build beside the cache and move in: a build that is cut off leaves no half program behind."""
    go = _go()
    say(f"build: {module.folder}: {' '.join(wanted)}")
    began = time.monotonic()
    out = module.out()
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".part-{os.getpid()}"
    part.mkdir(exist_ok=True)
    try:
        target = f"{part}/" if len(wanted) > 1 else str(part / next(iter(wanted)))
        run(
            [*_NICE, go, "build", *_HOW, "-ldflags", _flags(module), "-o", target, *wanted.values()],
            cwd=_stubbed(module, go, part) if module.stubs else MODULES / module.folder,
            env=_ENVIRONMENT,
        )
        for name in wanted:
            (part / name).rename(out / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    say(f"build: {module.folder}: {time.monotonic() - began:.0f} s")


def build(*modules: Module) -> None:
    """Build what is not in the cache yet; one run at a time, the others wait and then find it there."""
    if not any(_wanted(module) for module in modules):
        return
    with locked(cache_dir() / "locks" / "build.lock"):
        for module in modules:
            wanted = _wanted(module)
            if wanted:
                _compile(module, wanted)


def program(module: Module, name: str) -> str:
    """The path of a built program, from KUBEBUILDER_ASSETS where it is there."""
    return str(asset(name) or module.out() / name)


def kubectl() -> str:
    """The machine's kubectl where there is one, else one built from the same module as the cluster."""
    ready = asset("kubectl")
    found = str(ready) if ready else find("kubectl")
    if found:
        return found
    build(KUBECTL)
    return program(KUBECTL, "kubectl")
