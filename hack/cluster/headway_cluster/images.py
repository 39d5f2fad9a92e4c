"""Container images without any registry from outside: a Debian base, buildah, and a local registry."""

from __future__ import annotations

import argparse
import configparser
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import deps, registry
from .errors import ClusterError
from .paths import HERE, REGISTRY_HOST, cache_dir, locked
from .shell import free_gib, need, need_root, run, say
from .space import APART

ROOT = HERE.parent.parent
PROJECT_TARGETS = ("operator", "server", "trainer")
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "git", "python3", "python3-venv")
RECIPE = 1  # raise it when the steps below change
CERTIFICATES = Path("/etc/ssl/certs")
FIRST_GIB = {"operator": 4.0, "server": 4.0, "trainer": 25.0}
"""What the first build of an image takes on its way: its dependencies as pip brings them, as a layer of buildah's,
packed for the registry, and unpacked by containerd."""
AGAIN_GIB = 3.0
"""What a build takes whose dependencies are in buildah's store."""
OTHERS_GIB = 10.0
"""What is asked for an image of somebody else's Dockerfile, and for the base."""
DEPENDENCIES = "dev.headway.dependencies"
"""The label that says which dependencies an image of the project was built with."""
# buildah 1.28 compresses for a registry whatever it is told; this is the cheapest way.
_FAST = ("--compression-format", "zstd", "--compression-level", "1")

_MAKE_BASE = """
box=$(buildah from scratch)
root=$(buildah mount "$box")
trap 'buildah umount "$box" >/dev/null; buildah rm "$box" >/dev/null' EXIT
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" $MIRROR >&2
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/*
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd /bin/bash "$box"
buildah commit --quiet "$box" "$IMAGE"
"""


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """The words after `cluster image`."""
    verbs = parser.add_subparsers(dest="image_verb", required=True, metavar="VERB")
    base = verbs.add_parser("base", help="make the Debian base image, unless it is in the cache")
    base.add_argument("--refresh", action="store_true", help="make it again, with today's packages")
    built = verbs.add_parser("build", help="build an image and push it to the local registry")
    built.add_argument("--target", help="the stage of the Dockerfile")
    built.add_argument("--file", type=Path, default=Path("Dockerfile"))
    built.add_argument("--tag", required=True, help="NAME or NAME:TAG")
    built.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
    built.add_argument("context", nargs="?", type=Path, default=Path())
    for target in PROJECT_TARGETS:
        ours = verbs.add_parser(target, help=f"build the project's own {target} image")
        ours.add_argument("--tag", default=f"headway-{target}:dev", help="NAME:TAG (default: %(default)s)")
        ours.add_argument("--build-arg", action="append", default=[], metavar="KEY=VALUE")
    verbs.add_parser("list", help="what the registry holds")
    verbs.add_parser("prune", help="remove what no tag names any more")


def obey(words: argparse.Namespace) -> None:
    """Carry out one image verb."""
    if words.image_verb == "list":
        print("\n".join(listed()))
        return
    need_root("cluster image")
    deps.install()
    with locked(cache_dir() / "locks" / "images.lock"):
        if words.image_verb == "base":
            print(base(refresh=words.refresh))
        elif words.image_verb == "prune":
            prune()
        elif words.image_verb in PROJECT_TARGETS:
            print(_build_project(words.image_verb, words.tag, words.build_arg))
        else:
            _need_disk(OTHERS_GIB, "building an image may take")
            print(build(words.context, words.file, words.tag, words.target, words.build_arg))


def _environment() -> dict[str, str]:
    """buildah's store is in the cache, so that nothing of ours is in the machine's own."""
    store = cache_dir() / "buildah"
    store.mkdir(parents=True, exist_ok=True)
    conf = store / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{store / "storage"}"\nrunroot = "{store / "run"}"\n')
    return {"CONTAINERS_STORAGE_CONF": str(conf), "TMPDIR": str(_scratch()), "BUILDAH_ISOLATION": "chroot"}


def _scratch() -> Path:
    folder = cache_dir() / "buildah" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _apart(*argv: str | Path, env: dict[str, str] | None = None) -> str:
    """Run in mount and process namespaces of its own: an interrupted build leaves no mount and no process."""
    return run([*APART, *argv], env={**_environment(), **(env or {})})


def _base_name() -> str:
    key = hashlib.sha256(repr((SUITE, PACKAGES, RECIPE, _MAKE_BASE)).encode()).hexdigest()[:12]
    return f"localhost/headway-base:{SUITE}-{key}"


def base(refresh: bool = False) -> str:
    """The base image's name in buildah's store; made by debootstrap if it is not there."""
    image = _base_name()
    if not refresh and _apart("buildah", "images", "--quiet", "--filter", f"reference={image}").strip():
        return image
    _need_disk(OTHERS_GIB, "the base image takes")
    say(f"image: {SUITE} base: about a minute")
    variables = {
        "PACKAGES": ",".join(PACKAGES),
        "SUITE": SUITE,
        "IMAGE": image,
        "MIRROR": os.environ.get("HEADWAY_DEBIAN_MIRROR", ""),
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
    }
    _apart("sh", "-ec", _MAKE_BASE, env=variables)
    return image


def _need_disk(least: float, what: str) -> None:
    free = free_gib(cache_dir())
    if free < least:
        raise ClusterError(
            f"{free:.1f} GiB free at {cache_dir()}, and {what} {least:.0f}: make room, `cluster image prune`, or set"
            " HEADWAY_CACHE to a larger disk"
        )


def _dependencies(target: str, arguments: list[str]) -> str:
    """What stands for the layers of one of the project's images below its own code: base, recipe, lock, arguments."""
    files = [(ROOT / name).read_text() for name in ("Dockerfile", f"requirements/{target}.lock")]
    return hashlib.sha256(repr((_base_name(), files, arguments)).encode()).hexdigest()[:16]


def _build_project(target: str, tag: str, arguments: list[str]) -> str:
    """Build one of the project's images, if the disk has room for what has to be built of it."""
    label = f"{DEPENDENCIES}={_dependencies(target, arguments)}"
    if _apart("buildah", "images", "--quiet", "--filter", f"label={label}").strip():
        _need_disk(AGAIN_GIB, f"building the {target} image again takes")
    else:
        _need_disk(FIRST_GIB[target], f"building the {target} image with all that it depends on takes")
    return build(ROOT, ROOT / "Dockerfile", tag, target, arguments, options=("--label", label))


def _pip_conf(folder: Path) -> Path:
    """The machine's pip settings, from file and environment, for the build alone: never part of an image."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(["/etc/pip.conf"])
    if not parser.has_section("global"):
        parser.add_section("global")
    for key, value in os.environ.items():
        option = key.removeprefix("PIP_").lower().replace("_", "-")
        if key.startswith("PIP_") and option not in {"find-links", "cache-dir", "config-file", "cert"}:
            parser.set("global", option, value)
    if (CERTIFICATES / "ca-certificates.crt").exists():
        parser.set("global", "cert", str(CERTIFICATES / "ca-certificates.crt"))
    out = folder / "pip.conf"
    with out.open("w") as handle:
        parser.write(handle)
    out.chmod(0o644)
    return out


def build(
    context: Path, file: Path, tag: str, target: str | None, arguments: list[str], *, options: Sequence[str] = ()
) -> str:
    """Build, push, and return the name that pods use. options: further ones of buildah.

    HEADWAY_TEST_REGISTRY names another registry to push to, for a cluster of one's own.
    """
    if not file.is_file():
        raise ClusterError(f"no Dockerfile at {file}")
    name = tag if ":" in tag else f"{tag}:latest"
    image = f"{os.environ.get('HEADWAY_TEST_REGISTRY') or REGISTRY_HOST}/{name}"
    made_on = base()
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        words: list[str | Path] = ["buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host"]
        words += ["-v", f"{_pip_conf(Path(folder))}:/etc/pip.conf:ro"]
        if CERTIFICATES.is_dir():
            words += ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        for argument in [f"BASE_IMAGE={made_on}", *arguments]:
            words += ["--build-arg", argument]
        words += ["--target", target] if target else []
        say(f"image: {name}: seconds if only code has changed, minutes if dependencies have")
        _apart(*words, *options, "--file", file, "--tag", image, context)
        return f"{image}@{_push(Path(folder), image, name)}"


def _push(folder: Path, image: str, name: str) -> str:
    """Push and return the digest; to our own registry uncompressed, which is fast to push and to pull."""
    digest = folder / "digest"
    if not image.startswith(REGISTRY_HOST):
        _apart("buildah", "push", "--quiet", "--digestfile", digest, image, f"docker://{image}")
        return digest.read_text().strip()
    with registry.on_loopback(folder) as address:
        how = ("--quiet", *_FAST, "--tls-verify=false", "--digestfile", digest)
        _apart("buildah", "push", *how, image, f"docker://{address}/{name}")
    return digest.read_text().strip()


def listed() -> list[str]:
    """The tags in the registry's folder."""
    top = registry.storage() / "docker" / "registry" / "v2" / "repositories"
    found = top.glob("**/_manifests/tags/*")
    return sorted(f"{REGISTRY_HOST}/{tag.parents[2].relative_to(top)}:{tag.name}" for tag in found)


def prune() -> None:
    """Free what old builds left in the registry and in buildah's store; all tags stay."""
    before = free_gib(cache_dir())
    _apart("buildah", "rm", "--all")  # what builds that were killed have left: none is at work, as this holds the lock
    _apart("buildah", "rmi", "--prune")
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        config = registry.configure(Path(folder), "127.0.0.1:0")
        run([need("docker-registry"), "garbage-collect", "--delete-untagged", config])
    say(f"image: {free_gib(cache_dir()) - before:.1f} GiB freed")
