"""An API server, asked by whoever bears a token: a pod's, an account's."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from harness import Cluster


@dataclass(frozen=True)
class Site:
    """A cluster that is asked by bearers of tokens."""

    cluster: Cluster

    def request(self, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the API server answers to the bearer of a token (kubectl would add the admin's certificate)."""
        config = self.cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json")
        server = json.loads(config)["clusters"][0]["cluster"]
        asked = urllib.request.Request(  # noqa: S310  # the server's address is https
            f"{server['server']}/api/v1/namespaces/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json",
            },
        )
        trust = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        try:
            with urllib.request.urlopen(asked, context=trust, timeout=20) as answer:  # noqa: S310  # as above
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                found = json.load(error)
        return found

    def patch(self, token: str, namespace: str, name: str, body: dict[str, Any]) -> str:
        """The API server's refusal of a merge patch of a ConfigMap; empty if it is done."""
        return str(self.request(token, "PATCH", f"{namespace}/configmaps/{name}", body).get("message", ""))

    def data(self, namespace: str, name: str) -> dict[str, str]:
        """A ConfigMap's data."""
        found: dict[str, str] = self.cluster.get("configmap", name, "-n", namespace)["data"]
        return found

    def token(self, namespace: str, account: str, pod: str | None = None) -> str:
        """A token of an account, bound to a pod as a kubelet's is."""
        bound = ["--bound-object-kind", "Pod", "--bound-object-name", pod] if pod else []
        return self.cluster.kubectl("create", "token", account, "--namespace", namespace, *bound).strip()
