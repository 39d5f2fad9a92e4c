"""The port to the Kubernetes API: what the operator asks of it, in dicts, and the errors that callers tell apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

Object = dict[str, Any]
"""A Kubernetes object as the API server speaks it."""


class Resource(NamedTuple):
    """A kind of object, by the words of its URL.

    A tuple, as nearly all that is kept is kept by it: a dataclass is hashed in Python.
    """

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version


JOBS = Resource("headway.dev", "v1alpha1", "trainingjobs", "TrainingJob")
MODEL_DEPLOYMENTS = Resource("headway.dev", "v1alpha1", "modeldeployments", "ModelDeployment")
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
POD_GROUPS = Resource("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GRPC_ROUTES = Resource("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute")
INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


class KubeError(Exception):
    """The API server did not do what was asked. The message is fit for people."""


class NotFoundError(KubeError):
    """There is no such object (or no such kind, or no such namespace)."""


class ConflictError(KubeError):
    """The object is not what it was when it was decided about: decide again."""


class AlreadyExistsError(KubeError):
    """There is an object of that name."""


class DeniedError(KubeError):
    """Not allowed, by RBAC, an admission policy or a quota: it may be later."""


class InvalidError(KubeError):
    """The object is not acceptable and never will be."""


class GoneError(KubeError):
    """A paged list took too long: begin anew."""


class FencedError(KubeError):
    """This process may not write, as it does not hold the Lease."""


class RetryableError(KubeError):
    """The API server could not: overloaded, unreachable, or too slow. The write may have happened all the same."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after
        """Seconds to wait, where the server said so."""


class Kube(Protocol):
    """What the operator asks of the API server. All methods raise KubeError."""

    async def get(self, resource: Resource, namespace: str, name: str, *, metadata_only: bool = False) -> Object:
        """One object; with `metadata_only` nothing but its metadata."""
        ...

    def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """All objects of a namespace (None: of the cluster), in pages, each with the list's resourceVersion.

        `labels` and `fields` are selectors.
        """
        ...

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has such a kind."""
        ...

    async def create(self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; returns its metadata. Unknown fields in the body are an InvalidError.

        With `dry_run` it is judged as if it were to be created, and nothing is.
        """
        ...

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Replace an object; returns it whole."""
        ...

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object, on condition that it has the uid and resourceVersion of the patch; returns it whole."""
        ...

    async def patch_status(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge into an object's status subresource; returns its metadata."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete an object, in the background, if it is the one of that uid (and that version, where given)."""
        ...
