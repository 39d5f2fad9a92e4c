"""Objects of Headway's kinds before a real API server, for tests of what it takes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException


class Objects:
    """The objects of a kind in a namespace, over the API, with strict field validation."""

    def __init__(self, kubeconfig: Path, namespace: str, plural: str) -> None:
        self._api = client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))
        self._where = ("headway.dev", "v1alpha1", namespace, plural)

    def create(self, document: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
        """The object as the API server keeps it, or would. Raises ApiException where it refuses."""
        dry_run = {"dry_run": "All"} if dry else {}
        made: dict[str, Any] = self._api.create_namespaced_custom_object(
            *self._where, document, field_validation="Strict", **dry_run
        )
        return made

    def refusal(self, document: dict[str, Any]) -> str | None:
        """The API server's reason for refusing an object; None where it would take it."""
        try:
            self.create(document, dry=True)
        except ApiException as error:
            return str(json.loads(error.body)["message"])
        return None

    def replace(self, document: dict[str, Any]) -> str | None:
        """The API server's reason for refusing a change; None where it takes it."""
        name = document["metadata"]["name"]
        try:
            self._api.replace_namespaced_custom_object(*self._where, name, document, field_validation="Strict")
        except ApiException as error:
            return str(json.loads(error.body)["message"])
        return None

    def get(self, name: str) -> dict[str, Any]:
        """An object."""
        found: dict[str, Any] = self._api.get_namespaced_custom_object(*self._where, name)
        return found

    def say(self, name: str, status: dict[str, Any]) -> None:
        """Write an object's status."""
        self._api.patch_namespaced_custom_object_status(*self._where, name, {"status": status})

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._api.delete_namespaced_custom_object(*self._where, name)

    def names(self) -> list[str]:
        """The names of all of them."""
        return [each["metadata"]["name"] for each in self._api.list_namespaced_custom_object(*self._where)["items"]]
