"""The Debian packages that a cluster needs, installed without starting their services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClusterError
from .shell import find, need_root, run, say

# A program (or file) that shows that the package is there, and the package.
PACKAGES: dict[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "openssl": "openssl",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """The packages whose program is not on this machine."""
    return [
        package
        for sign, package in PACKAGES.items()
        if not (Path(sign).exists() if sign.startswith("/") else find(sign))
    ]


@contextmanager
def _services_kept_off() -> Iterator[None]:
    """Debian starts a service on installation unless a policy says no: a cluster runs its own containerd."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install() -> None:
    """Install what is missing; does nothing, and asks no package index, where all is there."""
    wanted = missing()
    if not wanted:
        return
    need_root("cluster deps")
    if not find("apt-get"):
        raise ClusterError(f"no apt-get here: install these yourself: {' '.join(wanted)}")
    say(f"deps: installing {' '.join(wanted)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with _services_kept_off():
        run(["apt-get", "update", "-qq"], env=quiet)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], env=quiet)
    left = missing()
    if left:
        raise ClusterError(f"still missing after apt-get: {' '.join(left)}")
