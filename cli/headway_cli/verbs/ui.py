"""`headway ui`: a web page on this machine."""

from __future__ import annotations

from dataclasses import replace

import click

from headway_cli.cluster.kubectl import Kubectl, Target, is_name, where
from headway_cli.ui.asking import EVERYWHERE, Site
from headway_cli.ui.running import serve
from headway_cli.verbs.shared import ClusterCommand, all_namespaces_option, note, say, target_options, tell_where

PORT = 8765


@click.command(cls=ClusterCommand, short_help="Show jobs and deployments of a cluster on a web page.")
@target_options
@all_namespaces_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The port of 127.0.0.1; 0 takes a free one.",
)
@click.option("--open", "opened", is_flag=True, help="Also open the page in a browser.")
def ui(*, target: Target, port: int, opened: bool) -> None:
    """Serve a web page with jobs, their curves, logs and events, trials and deployments, until Ctrl-C.

    It is for you alone: it listens on 127.0.0.1, reads the cluster by your kubeconfig, changes nothing, and lets in
    only who has the key in the address that is printed.
    """
    place = where(Kubectl(target).where(), target)
    if not is_name(place.namespace):
        raise click.UsageError("the kubeconfig's namespace is no name of a namespace: give --namespace")
    tell_where(place, everywhere=target.all_namespaces)
    # What the page says stays so, whatever becomes the kubeconfig's current context while it is open.
    target = replace(target, context=place.context)
    site = Site(target, place.context or "", EVERYWHERE if target.all_namespaces else place.namespace)

    def ready(address: str) -> None:
        say(address)
        note("The page is up, for who has this address. Ctrl-C ends it.")

    serve(site, port, ready, opened=opened)
