"""Whether the API server has a kind that not every cluster has: asked at the start, and now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from headway_operator.engine.kube import KubeError, Resource

logger = logging.getLogger(__name__)


class Discovery(Protocol):
    """What is asked of the API server. Raises KubeError."""

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has such a kind."""
        ...


class Served:
    """Whether a kind is served, as far as is known."""

    def __init__(self, api: Discovery, resource: Resource) -> None:
        self._api = api
        self._resource = resource
        self._served = False

    def __call__(self) -> bool:
        """The newest answer; no, before there is one."""
        return self._served

    async def ask(self) -> None:
        """Ask once; what cannot be asked stays as it was."""
        kind = self._resource.kind
        try:
            served = await self._api.serves(self._resource)
        except KubeError as error:
            logger.warning("whether the API server has the kind %s cannot be told: %s", kind, error)
            return
        if served != self._served:
            logger.info("the API server has %s kind %s", "the" if served else "no more the", kind)
        self._served = served

    async def change(self, interval: float) -> None:
        """Ask every `interval` seconds, until the answer is another one: a watch begins with a process."""
        before = self._served
        while self._served == before:
            await asyncio.sleep(interval)
            await self.ask()

    async def run(self, interval: float) -> None:
        """Ask every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.ask()
