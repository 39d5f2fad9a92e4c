"""The port's one implementation: dicts over the untyped path of `kubernetes.aio`'s ApiClient.

The typed models would cost twice the CPU, refuse what they do not know on the way out and drop it on the way in.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from headway_operator.engine.kube import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    FencedError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    Object,
    Resource,
    RetryableError,
)

PAGE = 25
"""Objects of a first page: each of them may have a megabyte, whoever made it."""
LARGEST_PAGE = 500
PAGE_BYTES = 4 * 2**20
"""What a page should have at most; the next is made smaller or larger accordingly."""
USER_AGENT = "headway-operator"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_MERGE_PATCH = "application/merge-patch+json"
_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidError,
    403: DeniedError,
    404: NotFoundError,
    405: InvalidError,
    409: ConflictError,
    410: GoneError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
}

_NOT_ADMITTED = re.compile(
    r"admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request|failed calling webhook"
)
"""Somebody's policy does not take the object, or could not be asked. That may change: the object is not at fault."""

_NO_RIGHT = re.compile(r'forbidden: User "[^"]*" cannot |attempting to grant RBAC permissions')
"""The operator's account lacks a right: that is the cluster's fault, and no quota's or policy's that a tenant met."""

Recorder = Callable[[str, str, int], None]
"""Told of each call: verb, resource, HTTP status (0: no answer)."""
Forbidden = Callable[[str, str], None]
"""Told of each call that the operator's account has no right to: verb, resource."""
Written = Callable[[Resource, Object], None]
"""Told of each object that was created or changed: its resource and metadata."""
Dated = Callable[[str | None, float, float], None]
"""Told of each answer: its Date header, and when the request left and the answer came, by the steady clock."""


async def load_configuration() -> Configuration:
    """How to reach the API server: from the pod's ServiceAccount, or else from KUBECONFIG."""
    configuration = Configuration()
    try:
        load_incluster_config(configuration)
    except ConfigException:
        await load_kube_config(client_configuration=configuration)
    configuration.proxy = configuration.proxy or _proxy_to(configuration.host)
    configuration.client_session_kwargs = session_options()
    return configuration


def session_options() -> dict[str, Any]:
    """What aiohttp's session has to know."""
    # The environment has been asked for a proxy once; aiohttp would read ~/.netrc in a thread before each request.
    return {"trust_env": False, "trace_configs": [_fenced()]}


_allowed: ContextVar[Callable[[], bool]] = ContextVar("allowed")
"""Whether what the present task writes may be written."""


def _fenced() -> aiohttp.TraceConfig:
    """Has aiohttp ask once more just before a body leaves.

    It leaves in a task of its own, some turns of the event loop after the request was begun: a process that is frozen
    in between would write when it thaws, after another has taken over.
    """

    async def ask(*_: object) -> None:
        if not _allowed.get(lambda: True)():
            raise FencedError("not the leader any more")

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(ask)
    return trace


def _proxy_to(host: str) -> str | None:
    url = urlsplit(host)
    proxies = getproxies()
    if url.hostname is None or proxy_bypass(url.hostname):
        return None
    return proxies.get(url.scheme)


class HttpKube:
    """The API server over HTTP."""

    def __init__(
        self,
        client: ApiClient,
        *,
        concurrency: int = 32,
        timeout: float = 30.0,
        may_write: Callable[[], bool] = lambda: True,
        record: Recorder | None = None,
        forbidden: Forbidden | None = None,
        written: Written | None = None,
        dated: Dated | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._limit = asyncio.Semaphore(concurrency)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 5.0))
        self._may_write = may_write
        self._record = record
        self._forbidden = forbidden
        self._written = written
        self._dated = dated
        self._steady = steady

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object."""
        accept = _METADATA if metadata_only else None
        return await self._call("GET", "get", resource, _path(resource, namespace, name), accept=accept)

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects, in pages."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        query = {name: selector for name, selector in selectors.items() if selector}
        accept, limit = _METADATA_LIST if metadata_only else None, PAGE
        path = _path(resource, namespace)
        while True:
            size, page = await self._measured(
                "GET", "list", resource, path, query=query | {"limit": str(limit)}, accept=accept
            )
            meta = page.get("metadata", {})
            yield page.get("items") or [], int(meta.get("resourceVersion") or 0)
            if not meta.get("continue"):
                return
            query = {**query, "continue": meta["continue"]}
            limit = max(1, min(LARGEST_PAGE, 4 * limit, limit * PAGE_BYTES // max(1, size)))

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has such a kind."""
        path = f"/apis/{resource.group}/{resource.version}"
        try:
            found = await self._call("GET", "discover", resource, path)
        except NotFoundError:
            return False
        return any(entry.get("name") == resource.plural for entry in found.get("resources") or ())

    async def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; returns its metadata."""
        query = {"fieldValidation": "Strict", "fieldManager": USER_AGENT} | ({"dryRun": "All"} if dry_run else {})
        path = _path(resource, namespace)
        made = await self._call("POST", "create", resource, path, query=query, body=body, accept=_METADATA)
        return made if dry_run else self._tell(resource, made)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace an object."""
        return await self._call("PUT", "update", resource, _path(resource, namespace, name), body=body)

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object."""
        query = {"fieldValidation": "Strict", "fieldManager": USER_AGENT}
        path = _path(resource, namespace, name)
        made = await self._call("PATCH", "patch", resource, path, query=query, body=dict(patch), content=_MERGE_PATCH)
        return self._tell(resource, made)

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object's status."""
        path = f"{_path(resource, namespace, name)}/status"
        query = {"fieldManager": USER_AGENT}
        made = await self._call(
            "PATCH", "patch", resource, path, query=query, body=dict(patch), accept=_METADATA, content=_MERGE_PATCH
        )
        return self._tell(resource, made)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete an object."""
        conditions = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if conditions:
            body["preconditions"] = conditions
        await self._call("DELETE", "delete", resource, _path(resource, namespace, name), body=body, accept=_METADATA)

    def _tell(self, resource: Resource, made: Object) -> Object:
        if self._written is not None:
            self._written(resource, made)
        return made

    async def _call(self, method: str, verb: str, resource: Resource, path: str, **options: Any) -> Object:
        return (await self._measured(method, verb, resource, path, **options))[1]

    async def _measured(
        self,
        method: str,
        verb: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        accept: str | None = None,
        content: str = "application/json",
    ) -> tuple[int, Object]:
        """The answer's size in bytes, and the answer."""
        headers = {"Accept": accept or "application/json", "Content-Type": content, "User-Agent": USER_AGENT}
        async with self._limit:
            # Asked only now: a write may have waited long for its turn.
            if method != "GET" and not self._may_write():
                raise FencedError(f"not the leader any more: {verb} of {resource.plural} not sent")
            _allowed.set(self._may_write)
            status = 0
            try:
                # Past param_serialize of the client, which takes a tenth of a call to copy what is plain already.
                await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
                url = f"{self._client.configuration.host}{path}{f'?{urlencode(query)}' if query else ''}"
                began = self._steady()
                response = await self._client.call_api(method, url, headers, body, _request_timeout=self._timeout)
                status = response.status
                if self._dated is not None:
                    self._dated(response.headers.get("Date"), began, self._steady())
                data = await response.read()
                after = response.headers.get("Retry-After")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if method != "GET" and not self._may_write():
                    raise FencedError(f"not the leader any more: {verb} of {resource.plural} broken off") from error
                reason = str(error) or type(error).__name__
                raise RetryableError(f"{verb} {resource.plural}: the API server did not answer ({reason})") from error
            finally:
                if self._record is not None:
                    self._record(verb, resource.plural, status)
        try:
            return len(data), _decode(f"{verb} {resource.plural}", status, data, after)
        except DeniedError as error:
            if self._forbidden is not None and _NO_RIGHT.search(str(error)):
                self._forbidden(verb, resource.plural)
            raise


def _path(resource: Resource, namespace: str | None, name: str | None = None) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    where = f"/namespaces/{quote(namespace)}" if namespace is not None else ""
    return f"{root}/{resource.version}{where}/{resource.plural}" + (f"/{quote(name)}" if name is not None else "")


def _decode(what: str, status: int, data: bytes, after: str | None) -> Object:
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        body = {}
    if 200 <= status < 300 and isinstance(body, dict):  # noqa: PLR2004 - HTTP's success
        return body
    said = body if isinstance(body, dict) else {}
    message = str(said.get("message") or f"{what}: HTTP {status}")
    if status == 409 and said.get("reason") == "AlreadyExists":  # noqa: PLR2004 - HTTP's conflict
        raise AlreadyExistsError(message)
    if status in (400, 422, 500) and _NOT_ADMITTED.search(message):
        raise DeniedError(message)
    if status in _BY_STATUS:
        raise _BY_STATUS[status](message)
    raise RetryableError(message, float(after) if after and after.isdigit() else None)
