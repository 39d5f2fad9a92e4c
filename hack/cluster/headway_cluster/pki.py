"""A certificate authority of the cluster's own, client certificates and kubeconfigs. Made anew by every `up`."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .paths import CLUSTER_DOMAIN, SERVICE_API_IP, Paths
from .shell import need, run

# Who talks to the API server: file name -> (common name, organisation). The RBAC rules of the API server's
# own bootstrap know the names that begin with "system:".
CLIENTS: dict[str, tuple[str, str]] = {
    "admin": ("headway-admin", "system:masters"),
    "kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "coredns": ("headway:coredns", ""),
    "kwok": ("headway:kwok", "system:masters"),
}


def _subject(name: str, organisation: str) -> str:
    return f"/O={organisation}/CN={name}" if organisation else f"/CN={name}"


def _request(file: Path, subject: str, *extra: str | Path) -> None:
    """A new P-256 key and a certificate for it, in one call of openssl."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365".split()  # noqa: SIM905
    outputs: list[str | Path] = ["-keyout", file.with_suffix(".key"), "-out", file.with_suffix(".crt")]
    run([need("openssl"), *words, "-subj", subject, *outputs, *extra])


def _authority(folder: Path) -> None:
    usage = "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"
    _request(folder / "ca", "/CN=headway-ca", "-addext", usage)


def _certificate(folder: Path, file: str, subject: str, usage: str, names: str = "") -> None:
    extra: list[str | Path] = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
    extra += ["-addext", f"extendedKeyUsage={usage}", "-addext", "basicConstraints=critical,CA:FALSE"]
    if names:
        extra += ["-addext", f"subjectAltName={names}"]
    _request(folder / file, subject, *extra)


def _service_account_key(folder: Path) -> None:
    run([need("openssl"), "genrsa", "-out", folder / "service-accounts.key", "2048"])


def make(paths: Paths) -> None:
    """Make all keys and certificates; the folder is root's alone."""
    folder = paths.pki
    folder.mkdir(mode=0o700, parents=True)
    _authority(folder)
    service = "kubernetes.default.svc"
    names = ["DNS:kubernetes", "DNS:kubernetes.default", f"DNS:{service}", f"DNS:{service}.{CLUSTER_DOMAIN}"]
    names += ["DNS:localhost", "IP:127.0.0.1", f"IP:{SERVICE_API_IP}", f"IP:{paths.ip}"]
    clients = {**CLIENTS, "kubelet": (f"system:node:{paths.node}", "system:nodes")}
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(_service_account_key, folder)]
        for file, who in clients.items():
            jobs.append(pool.submit(_certificate, folder, file, _subject(*who), "clientAuth"))
        server = "/CN=kube-apiserver"
        jobs.append(pool.submit(_certificate, folder, "apiserver", server, "serverAuth", ",".join(names)))
        for job in jobs:
            job.result()
    for file in clients:
        if file != "kubelet-client":
            _kubeconfig(paths, file)
    _kubeconfig(paths, "admin", paths.kubeconfig, embed=True)


def _kubeconfig(paths: Paths, file: str, out: Path | None = None, embed: bool = False) -> None:
    """Write a kubeconfig (JSON is YAML). The one for people holds its certificates, so that it can be copied."""
    cluster: dict[str, str] = {"server": paths.api_url}
    user: dict[str, str] = {}
    for target, key, source in (
        (cluster, "certificate-authority", "ca.crt"),
        (user, "client-certificate", f"{file}.crt"),
        (user, "client-key", f"{file}.key"),
    ):
        path = paths.pki / source
        if embed:
            target[f"{key}-data"] = base64.b64encode(path.read_bytes()).decode()
        else:
            target[key] = str(path)
    name = f"headway-{paths.name}" if paths.name != "headway" else "headway"
    text = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": f"{name}-{file}", "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-{file}"}}],
        },
        indent=1,
    )
    target_file = out or paths.pki / f"{file}.kubeconfig"
    target_file.touch(mode=0o600)
    target_file.write_text(text + "\n")
