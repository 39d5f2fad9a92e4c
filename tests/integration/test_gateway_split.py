"""Where a gateway splits, each version's server counts what it answers itself, of requests that bear its stamp."""

from __future__ import annotations

from pathlib import Path

from grpc_requests import Client as GrpcClient
from grpc_requests import raw
from headway_api.rollout_wire import ROUTE_HEADER, Counts
from served import echo
from wire_client import ask

from .split_world import BODY, INFER, Server, World, world

STAMP = ROUTE_HEADER.replace("-", "_")
NOTHING = Counts()


async def rest(server: Server, version: str, stamp: str | None = None) -> None:
    """A request as a gateway sends it, or as a client does that goes past it."""
    headers = {} if stamp is None else {STAMP: stamp}
    reply = await ask(server.port, "POST", INFER, BODY, **headers)
    assert (reply.status, reply.headers["headway-version"]) == (200, version), "nobody hands anything over"


async def call(server: Server, version: str, stamp: str | None = None) -> None:
    """The same by gRPC."""
    client = GrpcClient(server.grpc)
    metadata = () if stamp is None else ((ROUTE_HEADER, stamp),)
    assert (await client.call("ModelInfer", raw(), metadata=metadata)).model_version == version
    await client.channel.close()


async def split_by_gateway(there: World, **more: float) -> str:
    """From now on a gateway splits; what it puts on its requests."""
    await there.split(share=0.5, gateway=True, candidate_grpc=f"127.0.0.1:{there.candidate.grpc}", **more)
    await there.judge.follows(2)
    assert there.judge.reply.route is not None
    return str(there.judge.reply.route.epoch)


async def test_both_versions_count_what_is_stamped_with_this_step_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path) as there:
        stamp = await split_by_gateway(there)
        for server, version in ((there.stable, "1"), (there.candidate, "2")):
            for _ in range(5):
                await rest(server, version, stamp)
                await call(server, version, stamp)
            for other in (None, "0", f"0{stamp}", "x" * 500):
                await rest(server, version, other)
                await call(server, version, other)
        stable, candidate = await there.judge.counts(1), await there.judge.counts(2)
        assert (stable[0].requests, stable[1], candidate[0], candidate[1].requests) == (10, NOTHING, NOTHING, 10)
        assert all(told is not None and told.gateway for told in (there.judge.of(1), there.judge.of(2)))
        # The next step: what the gateway still sends by the weights of before counts for neither.
        new = await split_by_gateway(there)
        await rest(there.stable, "1", stamp)
        await rest(there.candidate, "2", new)
        stable, candidate = await there.judge.counts(1), await there.judge.counts(2)
        assert (stable[0].requests, candidate[1].requests) == (0, 1)


async def test_copies_are_compared_all_the_same(tmp_path: Path) -> None:
    async with world(tmp_path, model=echo("!")) as there:
        stamp = await split_by_gateway(there, mirror=1.0)
        for _ in range(10):
            await rest(there.stable, "1", stamp)

        def compared() -> bool:
            told = there.judge.of(1)
            return told is not None and bool(told.epochs) and told.epochs[-1].compared == 10

        await there.judge.heard(compared)
        told = there.judge.of(1)
        assert told is not None
        assert told.epochs[-1].disagreed == 10
        _, candidate = await there.judge.counts(2)
        assert candidate == NOTHING, "a copy is no request that a gateway has drawn for"
