"""The command line: `hack/cluster/cluster VERB`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from . import build, deps, gateway, images, lifecycle, s3, unpacked
from .errors import ClusterError
from .paths import DEFAULT_NAME, REGISTRY_HOST, Paths
from .shell import say
from .space import Space


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A real Kubernetes on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, named: bool = True) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        if named:
            added.add_argument("--name", default=DEFAULT_NAME, help="the cluster's name (default: %(default)s)")
        return added

    verb("deps", "Install the Debian packages that are missing.", named=False)
    built = verb("build", "Build the programs into the cache.", named=False)
    built.add_argument("modules", nargs="*", metavar="MODULE", help="which ones (default: all but traefik)")
    made = verb("up", "Make a cluster and wait until it is of use; prints its kubeconfig's path.")
    made.add_argument("--kwok-nodes", type=int, default=0, metavar="N", help="nodes on paper, 8 GPUs each")
    made.add_argument(
        "--kwok-taint",
        choices=["auto", "always", "never"],
        default="auto",
        help="whether they repel pods (auto: only beside a real node)",
    )
    made.add_argument("--no-node", action="store_true", help="only the control plane (and kwok)")
    made.add_argument("--gang", action="store_true", help="with native gang scheduling (PodGroup)")
    made.add_argument("--kubeconfig", type=Path, metavar="OUT", help="also write the kubeconfig there")
    verb("down", "Remove the cluster and all that belongs to it.")
    verb("status", "Say what runs, as JSON.")
    verb("kubeconfig", "Print the path of the kubeconfig.")
    address = verb("registry", "Print the registry's address for this machine.")
    address.add_argument("--pods", action="store_true", help="the prefix of image names in pods instead")
    store = verb("s3", "Start an S3 server in the cluster's network; prints its environment variables.")
    store.add_argument("--bucket", action="append", default=[], help="make a bucket (may be repeated)")
    verb("gateway", "Start Traefik, a gateway of the Gateway API; prints the URL of its listeners.")
    for name, text in (("restart", "Restart"), ("stop", "Stop"), ("kill", "Kill"), ("start", "Start again")):
        verb(name, f"{text} one program of a cluster.").add_argument("program")
    inside = verb("exec", "Run a command inside the cluster's namespaces, as the node would; prints its output.")
    inside.add_argument("words", nargs="+", metavar="WORD", help="the command; after -- where its words begin with -")
    which = verb("which", "Print the path of a program, built if need be.", named=False)
    programs = ["kubectl", "helm", "kwok", "etcd", "kube-apiserver", "traefik"]
    which.add_argument("program", choices=[*programs, *unpacked.PACKAGES])
    verb("gateway-crds", "Print the folder with the Gateway API's CRDs.", named=False)
    verb("kserve-crd", "Print the path of the CRD of KServe's InferenceService.", named=False)
    images.add_verbs(verb("image", "Make images for the cluster's registry.", named=False))
    return parser


def _kubeconfig(paths: Paths) -> str:
    external = lifecycle.external_kubeconfig()
    if external:
        return external
    if not paths.kubeconfig.exists():
        raise ClusterError(f"no cluster {paths.name!r}: run `hack/cluster/cluster up`")
    return str(paths.kubeconfig)


def _up(words: argparse.Namespace, paths: Paths) -> None:
    external = lifecycle.external_kubeconfig()
    if external:
        say("HEADWAY_TEST_KUBECONFIG is set: that cluster is used as it is")
    else:
        options = lifecycle.Options(words.kwok_nodes, not words.no_node, words.kwok_taint, words.gang)
        lifecycle.up(paths, options)
    if words.kubeconfig:
        words.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_kubeconfig(paths), words.kubeconfig)
        words.kubeconfig.chmod(0o600)
    print(words.kubeconfig or _kubeconfig(paths))


def _down(paths: Paths) -> None:
    if lifecycle.external_kubeconfig():
        say("HEADWAY_TEST_KUBECONFIG is set: that cluster is left alone")
    else:
        lifecycle.down(paths)


def _build(names: list[str]) -> None:
    known = {module.folder: module for module in (*build.ALL, *build.ASKED_FOR)}
    unknown = set(names) - set(known)
    if unknown:
        raise ClusterError(f"no module {', '.join(unknown)}: there are {', '.join(known)}")
    build.build(*([known[name] for name in names] or build.ALL))


def _which(name: str) -> str:
    if name == "kubectl":
        return build.kubectl()
    if name in unpacked.PACKAGES:
        return unpacked.program(name)
    module = next(module for module in (*build.ALL, *build.ASKED_FOR) if name in module.programs)
    build.build(module)
    return build.program(module, name)


def _on_cluster(words: argparse.Namespace) -> None:
    paths = Paths(words.name)
    if words.verb == "up":
        _up(words, paths)
    elif words.verb == "down":
        _down(paths)
    elif words.verb == "status":
        print(lifecycle.dump(lifecycle.status(paths)))
    elif words.verb == "kubeconfig":
        print(_kubeconfig(paths))
    elif words.verb == "registry":
        print(REGISTRY_HOST if words.pods else paths.registry)
    elif words.verb == "s3":
        for key, value in s3.start(Space(paths), words.bucket).items():
            print(f"{key}={value}")
    elif words.verb == "gateway":
        print(gateway.start(Space(paths)))
    elif words.verb == "exec":
        print(Space(paths).run(words.words), end="")
    else:
        lifecycle.restart(paths, words.program, "" if words.verb == "restart" else words.verb)


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; what people need to know goes to standard error, answers to standard output."""
    words = _parser().parse_args(arguments)
    try:
        if words.verb == "deps":
            deps.install()
            say("deps: all there")
        elif words.verb == "build":
            _build(words.modules)
        elif words.verb == "which":
            print(_which(words.program))
        elif words.verb == "gateway-crds":
            print(build.gateway_crds())
        elif words.verb == "kserve-crd":
            print(build.kserve_crd())
        elif words.verb == "image":
            images.obey(words)
        else:
            _on_cluster(words)
    except ClusterError as error:
        say(f"cluster {words.verb}: {error}")
        return 1
    except KeyboardInterrupt:
        say(f"cluster {words.verb}: interrupted; cleaned up")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
