"""The way to the judge: what is sent to it bears the token, and its answers are bounded."""

from __future__ import annotations

from pathlib import Path

from headway_server.split.client import Client, NoReply
from headway_server.split.judging import Judging

MOST_TOKEN_BYTES = 4096
_OK = 200


class NotHeard(Exception):  # noqa: N818 - what the judge is
    """There is no answer, or another one than that it was taken. The message says so.

    status: that of the answer, if there is one.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Line:
    """Belongs to one event loop."""

    def __init__(self, judging: Judging, most_bytes: int) -> None:
        """most_bytes: of an answer."""
        self._judging = judging
        self._client = Client(most_bytes)

    async def post(self, path: str, body: bytes, seconds: float) -> bytes:
        """The answer's body. seconds: how long it is waited for. Raises NotHeard."""
        judging = self._judging
        try:
            headers = {"content-type": "application/json", "authorization": f"Bearer {self._token()}"}
            reply = await self._client.post((judging.host, judging.port), path, headers, body, seconds)
        except (NoReply, TimeoutError, OSError, ValueError) as error:
            raise NotHeard(str(error)) from error
        if reply.status != _OK:
            shown = repr(reply.body[:200].decode(errors="replace"))
            raise NotHeard(f"its status is {reply.status}: {shown}", reply.status)
        return reply.body

    def close(self) -> None:
        """Nothing is sent any more."""
        self._client.close()

    def _token(self) -> str:
        """Read each time, since it may be replaced. Raises OSError, and ValueError for what no header can have."""
        with Path(self._judging.token_file).open("rb") as file:
            token = file.read(MOST_TOKEN_BYTES).decode("ascii").strip()
        if not token.isprintable():
            raise ValueError(f"{self._judging.token_file} holds no token")
        return token
