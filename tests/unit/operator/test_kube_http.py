"""The port over HTTP, against a small server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from headway_operator.engine import kube
from headway_operator.engine.kube import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    FencedError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    RetryableError,
)
from headway_operator.engine.kube_http import HttpKube, _proxy_to, session_options
from held_things import used_by

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answer: Answer, **options: Any) -> AsyncIterator[HttpKube]:
    """The port, onto a server that answers everything in one way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    configuration.client_session_kwargs = session_options()
    try:
        async with ApiClient(configuration) as client:
            yield HttpKube(client, timeout=5, **options)
    finally:
        await runner.cleanup()


def refusing(status: int, reason: str = "", message: str = "no", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
        return web.json_response(body, status=status, headers=headers)

    return answer


async def test_a_kind_is_served_if_its_version_lists_it() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path != "/apis/scheduling.k8s.io/v1beta1":
            return web.json_response({"kind": "Status", "message": "no"}, status=404)
        return web.json_response({"resources": [{"name": "workloads"}, {"name": "podgroups"}]})

    async with served(answer) as api:
        assert await api.serves(kube.POD_GROUPS)
        assert not await api.serves(kube.Resource("scheduling.k8s.io", "v1beta1", "compositepodgroups", "X"))
        assert not await api.serves(kube.LEASES)


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "BadRequest", InvalidError),
        (401, "Unauthorized", RetryableError),
        (403, "Forbidden", DeniedError),
        (404, "NotFound", NotFoundError),
        (409, "Conflict", ConflictError),
        (409, "AlreadyExists", AlreadyExistsError),
        (410, "Expired", GoneError),
        (413, "RequestEntityTooLarge", InvalidError),
        (422, "Invalid", InvalidError),
        (429, "TooManyRequests", RetryableError),
        (500, "InternalError", RetryableError),
        (504, "Timeout", RetryableError),
    ],
)
async def test_each_refusal_is_an_error_of_its_own(status: int, reason: str, error: type[KubeError]) -> None:
    async with served(refusing(status, reason, "because of this")) as api:
        with pytest.raises(error, match="because of this"):
            await api.create(kube.PODS, "default", {"metadata": {"name": "a"}})


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, 'admission webhook "validate.kyverno.svc" denied the request: no'),
        (422, "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"),
        (500, 'Internal error occurred: failed calling webhook "inject.example.com": context deadline exceeded'),
    ],
)
async def test_what_a_policy_does_not_admit_may_be_admitted_later(status: int, said: str) -> None:
    async with served(refusing(status, "Whatever", said)) as api:
        with pytest.raises(DeniedError, match=r"webhook|ValidatingAdmissionPolicy"):
            await api.create(kube.PODS, "default", {"metadata": {"name": "a"}})


async def test_the_server_s_wish_to_wait_is_told() -> None:
    async with served(refusing(429, **{"Retry-After": "7"})) as api:
        with pytest.raises(RetryableError) as error:
            await api.get(kube.PODS, "default", "a")
    assert error.value.after == 7


async def test_an_answer_that_is_no_json_is_an_error_with_its_status() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>gateway</html>", status=502)

    async with served(answer) as api:
        with pytest.raises(RetryableError, match="502"):
            await api.get(kube.PODS, "default", "a")


async def test_a_server_that_is_not_there_is_retryable() -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as client:
        with pytest.raises(RetryableError, match="did not answer"):
            await HttpKube(client).get(kube.PODS, "default", "a")


class Recorded:
    """A server that keeps what it was asked and answers from a list."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = []
        self._answers = list(answers)

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        asked = (request.method, request.path, dict(request.query), dict(request.headers))
        self.asked.append((*asked, json.loads(text) if text else None))
        return web.json_response(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


async def test_a_created_object_is_checked_strictly_and_only_its_metadata_come_back() -> None:
    server = Recorded({"metadata": {"uid": "u"}})
    body = {"metadata": {"name": "a"}, "spec": {"limits": {"cpu": 1}}}
    async with served(server.answer) as api:
        assert await api.create(kube.PODS, "team", body) == {"metadata": {"uid": "u"}}
    method, path, query, headers, sent = server.asked[0]
    assert (method, path, sent) == ("POST", "/api/v1/namespaces/team/pods", body)
    assert query["fieldValidation"] == "Strict"
    assert "PartialObjectMetadata" in headers["Accept"]
    assert headers["User-Agent"] == "headway-operator", "the API server's audit log tells whose call it is"


async def test_a_status_is_merged_into_its_subresource() -> None:
    server = Recorded({"metadata": {"resourceVersion": "9"}})
    async with served(server.answer) as api:
        await api.patch_status(kube.JOBS, "team", "digits", {"status": {"phase": None}})
    method, path, _, headers, sent = server.asked[0]
    assert (method, sent) == ("PATCH", {"status": {"phase": None}})
    assert path == "/apis/headway.dev/v1alpha1/namespaces/team/trainingjobs/digits/status"
    assert headers["Content-Type"] == "application/merge-patch+json"


async def test_an_object_is_merged_strictly_and_comes_back_whole() -> None:
    whole = {"metadata": {"resourceVersion": "9"}, "spec": {"replicas": 3}}
    server = Recorded(whole)
    patch = {"metadata": {"uid": "u", "resourceVersion": "8"}, "spec": {"replicas": 3}}
    async with served(server.answer) as api:
        assert await api.patch(kube.DEPLOYMENTS, "team", "digits", patch) == whole
    method, path, query, headers, sent = server.asked[0]
    assert (method, sent) == ("PATCH", patch)
    assert path == "/apis/apps/v1/namespaces/team/deployments/digits"
    assert (headers["Content-Type"], headers["Accept"]) == ("application/merge-patch+json", "application/json")
    assert query["fieldValidation"] == "Strict"


async def test_a_deletion_is_of_the_very_object_and_in_the_background() -> None:
    server = Recorded({"kind": "Status"})
    async with served(server.answer) as api:
        await api.delete(kube.PODS, "team", "a", uid="u", version="7")
        await api.delete(kube.PODS, "team", "a")
    assert server.asked[0][4]["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert server.asked[0][4]["propagationPolicy"] == "Background"
    assert "preconditions" not in server.asked[1][4]


async def test_lists_are_read_page_by_page() -> None:
    pages = [
        {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [{"a": 1}]},
        {"metadata": {"resourceVersion": "5"}, "items": [{"a": 2}]},
    ]
    server = Recorded(*pages)
    async with served(server.answer) as api:
        found = [page async for page in api.pages(kube.PODS, None, labels="a=b", metadata_only=True)]
    assert found == [([{"a": 1}], 5), ([{"a": 2}], 5)]
    assert [asked[2].get("continue") for asked in server.asked] == [None, "more"]
    assert server.asked[0][1] == "/api/v1/pods"
    assert server.asked[0][2]["labelSelector"] == "a=b"
    assert "PartialObjectMetadataList" in server.asked[0][3]["Accept"]


async def test_who_may_not_write_sends_nothing_but_may_still_read() -> None:
    server = Recorded({"metadata": {}})
    async with served(server.answer, may_write=lambda: False) as api:
        await api.get(kube.PODS, "team", "a")
        for write in (
            api.create(kube.PODS, "team", {"metadata": {"name": "a"}}),
            api.patch_status(kube.JOBS, "team", "a", {}),
            api.delete(kube.PODS, "team", "a"),
            api.replace(kube.LEASES, "team", "a", {}),
        ):
            with pytest.raises(FencedError):
                await write
    assert [asked[0] for asked in server.asked] == ["GET"]


async def test_who_may_not_write_any_more_when_the_bytes_would_leave_sends_none() -> None:
    server = Recorded({"metadata": {}})
    asked = 0

    def frozen_in_between() -> bool:
        nonlocal asked
        asked += 1
        return asked == 1

    async with served(server.answer, may_write=frozen_in_between) as api:
        with pytest.raises(FencedError):
            await api.delete(kube.PODS, "team", "a")
        await api.get(kube.PODS, "team", "a")
    assert [asked[0] for asked in server.asked] == ["GET"]


async def test_calls_are_counted_by_verb_resource_and_code() -> None:
    calls: list[tuple[str, str, int]] = []
    record = lambda *call: calls.append(call)  # noqa: E731 - three words into one tuple
    async with served(refusing(404), record=record) as api:
        with pytest.raises(NotFoundError):
            await api.get(kube.SECRETS, "team", "a")
    assert calls == [("get", "secrets", 404)]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods" in API group ""', True),
        ('rolebindings "x" is forbidden: user "u" is attempting to grant RBAC permissions not currently held', True),
        ('pods "x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0', False),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": hostNetwork', False),
        ("pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no", False),
        ('pods "x" is forbidden: unable to create new content in namespace a because it is being terminated', False),
    ],
)
async def test_only_a_missing_right_is_told_as_one(message: str, told: bool) -> None:
    missing: list[tuple[str, str]] = []
    forbidden = lambda *call: missing.append(call)  # noqa: E731 - two words into one tuple
    async with served(refusing(403, "Forbidden", message), forbidden=forbidden) as api:
        with pytest.raises(DeniedError):
            await api.create(kube.PODS, "team", {})
    assert missing == ([("create", "pods")] if told else [])


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "10.96.0.1"}, None),
        ({"http_proxy": "http://proxy:3128"}, None),
    ],
)
def test_a_proxy_of_the_environment_is_used_unless_it_is_not_for_the_api_server(
    environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _proxy_to("https://10.96.0.1:443") == proxy


@pytest.mark.parametrize(
    ("bytes_each", "limits"),
    [(100, [25, 100, 400, 500]), (1_000_000, [25, 4, 4, 4])],
    ids=["small objects", "objects of a megabyte"],
)
async def test_pages_are_as_large_as_their_objects_allow(bytes_each: int, limits: list[int]) -> None:
    asked: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(int(request.query["limit"]))
        items = [{"data": "x" * bytes_each}] * asked[-1]
        more = {"continue": "more"} if len(asked) < 4 else {}
        return web.json_response({"metadata": {"resourceVersion": "5", **more}, "items": items})

    async with served(answer) as api:
        counts = [len(items) async for items, _ in api.pages(kube.CONFIG_MAPS, None)]
    assert asked == limits
    assert counts == limits


async def test_the_time_of_each_answer_is_passed_on() -> None:
    told: list[tuple[str | None, float, float]] = []

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {}}, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})

    async with served(answer, dated=lambda *seen: told.append(seen), steady=iter([3.0, 5.0]).__next__) as api:
        await api.get(kube.PODS, "a", "b")
    assert told == [("Thu, 01 Jan 2026 00:00:00 GMT", 3.0, 5.0)]


async def test_thousands_of_calls_whatever_comes_of_them_leave_no_connection_and_no_thread() -> None:
    answers = itertools.cycle([(200, {"metadata": {"resourceVersion": "5"}}), (404, {}), (409, {}), (503, {}), None])

    async def answer(request: web.Request) -> web.Response:
        found = next(answers)
        if found is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response(found[1], status=found[0])

    async def jobs(count: int) -> None:
        for _ in range(count):
            await asyncio.gather(*(_ignored(api.create(kube.PODS, "a", {"metadata": {}})) for _ in range(8)))
            await _ignored(api.delete(kube.PODS, "a", "b"))

    async with served(answer) as api:
        await jobs(20)
        few = used_by()
        await jobs(300)
        many = used_by()
    assert many.threads <= few.threads
    assert many.files <= few.files + 2 * 8, "both ends of the connections that are kept"


async def _ignored(call: Awaitable[object]) -> None:
    with contextlib.suppress(KubeError):
        await call
