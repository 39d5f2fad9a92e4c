"""`headway bundle`: a finished model with all that serves it, for a machine without a cluster and without network."""

from __future__ import annotations

import gzip
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import resources
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import click

from headway_api.bundle import MODEL_INFO_FILE
from headway_api.signatures import SIGNATURE_FILE
from headway_api.wording import printable
from headway_cli.extras import installing
from headway_cli.own_wheel import write_wheel
from headway_server.errors import BadModel
from headway_server.model import ServedModel

SUFFIX = ".tar.gz"
SUMS = "SHA256SUMS"
SERVED = ("onnx", "reference", "vocabulary")
"""The files of a model that its server may read; the weights are in model.onnx, too."""
RUN = """\
#!/bin/sh
# Serves the model of this folder, without network: ./run.sh [options of `headway serve`]
# Needs Python {python} with venv, as python3 or as $PYTHON says. The first start installs the wheels into .venv.
set -eu
cd "$(dirname "$0")"
if ! sums="$(sha256sum -c {sums} 2>&1)"; then
    echo "these files are not as they were packed:" >&2
    echo "$sums" | grep -v ': OK$' >&2
    exit 1
fi
if [ ! -e .venv/complete ]; then
    python="${{PYTHON:-python3}}"
    found="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    if [ "$found" != "{python}" ]; then
        echo "the wheels are for Python {python}, and $python is $found: name another one with PYTHON=..." >&2
        exit 1
    fi
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --find-links wheels \\
        --require-hashes --requirement requirements.lock
    touch .venv/complete
fi
# Not by .venv/bin/headway, which knows the folder by the name that it had when it was installed.
exec .venv/bin/python -c 'from headway_cli.main import main; main(prog_name="headway")' serve model "$@"
"""


@click.command(short_help="Pack a finished model with all that serves it without network.")
@click.argument("model_dir", metavar="MODEL_DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", metavar="OUT.tar.gz", type=click.Path(dir_okay=False, path_type=Path))
def bundle(model_dir: Path, output: Path) -> None:
    """Pack the model of a finished run in MODEL_DIR, and the wheels that serve it on machines as this one.

    The archive has the model, wheels of the versions that Headway is tested with, fetched from the package index that
    pip is set to and held against their hashes, SHA256SUMS, and run.sh, which needs Python and no network.
    """
    if not output.name.endswith(SUFFIX) or output.name == SUFFIX:
        raise click.UsageError(f"{output}: the archive is a {SUFFIX}: name it so")
    if output.exists():
        raise click.UsageError(f"{output} is there already: remove it, or give another name")
    try:
        model = ServedModel.open(str(model_dir))
        own = distribution("headway")
    except BadModel as error:
        raise click.ClickException(printable(str(error))) from error
    except PackageNotFoundError as error:
        raise click.ClickException(f"Headway is not installed here: {installing('headway[server]')}") from error
    with tempfile.TemporaryDirectory(prefix="headway-bundle-") as made:
        root = Path(made)
        _write_model(model_dir, model, root / "model")
        _write_wheels(root, own)
        _write_words(root, model)
        _pack(root, output)
    click.echo(f"{output}: {output.stat().st_size / 2**20:.0f} MiB, the model {model.name} for {_machine()}")


def _write_model(folder: Path, model: ServedModel, target: Path) -> None:
    target.mkdir()
    # The signature, if there is one, is of no use without a key: whoever unpacks it may ask for one.
    names = [
        MODEL_INFO_FILE,
        SIGNATURE_FILE,
        *(model.info.files[each].name for each in SERVED if each in model.info.files),
    ]
    for name in names:
        source = folder / Path(name).name
        if source.is_file():
            shutil.copyfile(source, target / source.name)


def _write_wheels(root: Path, own: Distribution) -> None:
    """The wheels, and what pip is to install of them. Raises a ClickException where one cannot be had."""
    wheels, lock = root / "wheels", root / "requirements.lock"
    wheels.mkdir()
    lock.write_bytes(resources.files("headway_cli").joinpath("server.lock").read_bytes())
    fetch_wheels(lock, wheels)
    wheel = write_wheel(wheels, own)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with lock.open("a") as stream:
        stream.write(f"headway=={own.version} --hash=sha256:{digest}\n")


def fetch_wheels(lock: Path, folder: Path) -> None:
    """Fetch what a lock names for this machine, held against its hashes. Raises a ClickException with pip's words."""
    words = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", *words, "--requirement", str(lock)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise click.ClickException(f"pip cannot fetch the wheels of the server: {printable(said)}")


def _write_words(root: Path, model: ServedModel) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    run = root / "run.sh"
    run.write_text(RUN.format(python=python, sums=SUMS))
    run.chmod(0o755)
    (root / "README").write_text(
        f"The model {model.name} (digest {model.bundle_digest}), packed by `headway bundle` for {_machine()}.\n"
        "./run.sh serves it on http://127.0.0.1:8080; ./run.sh --help tells the options.\n"
    )
    files = sorted(file for file in root.rglob("*") if file.is_file())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(root).as_posix()}\n" for file in files]
    (root / SUMS).write_text("".join(sums))


def _pack(root: Path, output: Path) -> None:
    """The archive, whole or not at all. The same files are the same bytes."""
    part = output.with_name(f".{output.name}.part")
    try:
        with (
            part.open("wb") as raw,
            gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for file in sorted(file for file in root.rglob("*") if file.is_file()):
                name = Path(output.name.removesuffix(SUFFIX)) / file.relative_to(root)
                archive.add(file, name.as_posix(), recursive=False, filter=_anybody)
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _anybody(told: tarfile.TarInfo) -> tarfile.TarInfo:
    told.uid = told.gid = told.mtime = 0
    told.uname = told.gname = ""
    told.mode = 0o755 if told.mode & 0o100 else 0o644
    return told


def _machine() -> str:
    return f"Python {sys.version_info.major}.{sys.version_info.minor} on {platform.system()} {platform.machine()}"
