"""The names and labels of a ModelDeployment's objects. Pure."""

from __future__ import annotations

from headway_api import wire

LABEL_DEPLOYMENT = "headway.dev/deployment"
LABEL_DEPLOYMENT_UID = "headway.dev/deployment-uid"
LABEL_VERSION = "headway.dev/version"
LABEL_TEMPLATE = "headway.dev/template"
"""Of the judge's Deployment: what tells its pods' template from another one."""
LABEL_COMPONENT = "app.kubernetes.io/component"
COMPONENT = "model-server"
JUDGE_COMPONENT = "rollout-judge"
"""Of the judge's pods, so that no selector of servers finds them."""
WATCHED = f"{LABEL_COMPONENT}={COMPONENT}"
"""What all objects of all deployments have in common; a job's have it not."""
WATCHED_CONFIGS = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"
"""What all ConfigMaps of Headway have in common: one watch shows those of jobs, too."""
CLIENT_PORT = 80
"""The Services' port for REST."""
QUERY_VOLUME = "query-"
"""Begins the names of the judge's volumes with Secrets of queries: the chart's policies know them by it."""
LARGEST_NUMBER = 999_999_999
HOLDER = -2
"""In place of a version's number: the Deployment of the holder, which keeps requests while there are no servers."""
SERVERS = -3
"""The same: the Service by which the holder finds servers."""
HOLDER_COMPONENT = "request-holder"
"""Of the holder's pods."""
JUDGE = -1
"""In place of a version's number: an object of the judge."""


def version_name(deployment: str, number: int) -> str:
    """What a version is called by people."""
    return f"{deployment}-{number}"


def object_name(deployment: str, uid: str, number: int) -> str:
    """The name of a version's Deployment and all that goes with it; its pods' names begin with it.

    The beginning of the uid keeps those of a deployment `a` from those of one called `a-1`, and of an earlier `a`.
    """
    return f"{deployment}-{uid[: wire.UID_LENGTH]}-{number}"


def shared_name(deployment: str, uid: str) -> str:
    """The name of what all versions have in common but the clients' Service, which is called as the deployment is."""
    return f"{deployment}-{uid[: wire.UID_LENGTH]}"


def judge_name(deployment: str, uid: str) -> str:
    """The name of the judge's Deployment and Service, and of the ConfigMap and Secret that it and servers share."""
    return f"{shared_name(deployment, uid)}-judge"


def route_name(deployment: str) -> str:
    """The name of a deployment's HTTPRoute and GRPCRoute: without the uid, as policies of gateways name what they are
    for, and stand in files that know of no uid. No two deployments of a namespace have the same one."""
    return f"{deployment}-route"


def selector(uid: str, number: int) -> dict[str, str]:
    """The labels by which a version's pods are told from all others."""
    return {LABEL_DEPLOYMENT_UID: uid, LABEL_VERSION: str(number)}


def split_name(deployment: str, uid: str) -> str:
    """The name of the NetworkPolicy by which servers that split requests reach each other and the judge."""
    return f"{shared_name(deployment, uid)}-split"


def servers(uid: str) -> dict[str, str]:
    """The labels by which the server pods of all versions are told from all others."""
    return {LABEL_DEPLOYMENT_UID: uid, LABEL_COMPONENT: COMPONENT}


def judges(uid: str) -> dict[str, str]:
    """The labels by which the judge's pods are told from all others."""
    return {LABEL_DEPLOYMENT_UID: uid, LABEL_COMPONENT: JUDGE_COMPONENT}


def holder_name(deployment: str, uid: str) -> str:
    """The name of the holder's Deployment and NetworkPolicy."""
    return f"{shared_name(deployment, uid)}-holder"


def servers_name(deployment: str, uid: str) -> str:
    """The name of the Service by which the holder finds servers."""
    return f"{shared_name(deployment, uid)}-servers"


def holders(uid: str) -> dict[str, str]:
    """The labels by which the holder's pods are told from all others."""
    return {LABEL_DEPLOYMENT_UID: uid, LABEL_COMPONENT: HOLDER_COMPONENT}


def labels(deployment: str, uid: str, number: int | None = None) -> dict[str, str]:
    """The labels of an object, of a version or of all."""
    return {
        wire.LABEL_MANAGED_BY: wire.MANAGED_BY,
        LABEL_COMPONENT: COMPONENT,
        LABEL_DEPLOYMENT: deployment,
        LABEL_DEPLOYMENT_UID: uid,
        **({} if number is None else {LABEL_VERSION: str(number)}),
    }
