"""What the server is told: the model, its ports, and its bounds. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from headway_server.batching import Limits
from headway_server.cache import CacheLimits
from headway_server.http.limits import MIB, HttpLimits
from headway_server.records.record import RecordSettings
from headway_server.rest.request import Bounds
from headway_server.split.judging import Judging


@dataclass(frozen=True)
class Settings:
    """How a model is served."""

    model_dir: str
    """The folder of the finished run."""
    name: str | None = None
    """What clients call the model; by default as its job."""
    version: str | None = None
    """The version that it is served as; by default 1."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8080
    """For requests; 0 for any free one."""
    admin_port: int = 8081
    """For health and metrics; 0 for any free one."""
    grpc_port: int | None = None
    """For requests by gRPC; 0 for any free one, None for no gRPC."""
    public_keys: tuple[bytes, ...] = ()
    """Ed25519 keys of which one has to have signed the model; none where it needs no signature."""
    threads: int | None = None
    """That compute one run; by default as many as the CPUs that the process may use."""
    batching: Limits = field(default_factory=Limits)
    """What is run together, and what may wait."""
    http: HttpLimits = field(default_factory=HttpLimits)
    """The data port's bounds."""
    bounds: Bounds = field(default_factory=Bounds)
    """What one request may hold."""
    timeout_seconds: float = 10.0
    """After which nobody waits for an answer any more, unless the request says less."""
    drain_seconds: float = 20.0
    """For which requests are still answered after SIGTERM, until all who send them know that it ends."""
    warmup_requests: int = 20
    """Runs before the server says that it is ready."""
    cache: CacheLimits | None = None
    """Answers that are kept for requests that are exactly the same; None for no answer."""
    records: RecordSettings | None = None
    """What is kept of requests; None for nothing."""
    inline: bool | None = None
    """Whether the model runs on the event loop; by default where its runs are short."""
    access_log: bool = False
    """Whether each request is logged, as a line of JSON."""
    judging: Judging | None = None
    """Who counts while requests are split between versions; none for a server that stands alone."""
    admin: HttpLimits = field(
        default_factory=lambda: HttpLimits(max_request_bytes=64 * 1024, max_bytes_in_flight=MIB, max_connections=128)
    )
    """The admin port's bounds."""
