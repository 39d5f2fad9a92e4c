"""Where the judge is, and as what a server reports to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headway_server.split.addresses import address


@dataclass(frozen=True)
class Judging:
    """Made by `at`."""

    host: str
    port: int
    token_file: str
    """Its content is what the judge takes reports with; it may change."""
    deployment_uid: str
    """The ModelDeployment's."""

    @staticmethod
    def at(url: str, token_file: str, deployment_uid: str) -> Judging:
        """Raises ValueError for a URL that is not `http://host:port`."""
        found = address(url)
        if found is None:
            raise ValueError(f"{url[:200]!r} is not of the form http://HOST:PORT")
        return Judging(*found, token_file, deployment_uid)
