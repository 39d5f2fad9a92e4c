"""`headway run`: the job of a file on this machine, with an embedded Ray."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from headway_api import wire
from headway_api.job import TrainingJob
from headway_api.wording import printable
from headway_cli import job_file
from headway_cli.run_folder import Attempt, RunFolder
from headway_cli.run_report import print_report
from headway_cli.run_terminal import Terminal
from headway_cli.shown import PlainCommand

if TYPE_CHECKING:
    from headway_trainer.logs.shipper import Shipper
    from headway_trainer.outcome import Verdict
    from headway_trainer.report.model import RunResult

EXIT_INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""
_LOOK_SECONDS = 0.1


@click.command(cls=PlainCommand, short_help="Train the model of a file on this machine.")
@click.argument("file", type=click.Path(allow_dash=True), metavar="FILE")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of spec, such as training.epochs=3."
)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="The run's folder.  [default: out/NAME]"
)
@click.option("--fresh", is_flag=True, help="Discard an unfinished run in the folder instead of continuing it.")
@click.option(
    "--code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of your own code.  [default: that of FILE]",
)
def run(file: str, settings: tuple[str, ...], output: Path | None, fresh: bool, code: Path | None) -> NoReturn:
    """Train the model of FILE (- is standard input) on this machine: the same job that kubectl apply starts.

    A run that was interrupted continues where it stopped when the same command is given again.
    """
    job = read_job(file, settings)
    refuse_what_a_cluster_has(job, code)
    from headway_trainer.publish import RESULT_NAMES

    folder = RunFolder(output or Path("out") / job.metadata.title)
    refuse_output_in_source(job, folder.path)
    console = Console()
    with folder.locked():
        attempt = folder.begin(job, fresh=fresh, names=RESULT_NAMES, note=lambda said: _print(console, said))
        sys.exit(_execute(Local(job, file, folder, attempt, code), console))


@dataclass(frozen=True)
class Local:
    """A run on this machine."""

    job: TrainingJob
    file: str
    folder: RunFolder
    attempt: Attempt
    code: Path | None
    """What --code says."""

    def run_file(self) -> wire.RunFile:
        """The run as the pipeline takes it."""
        return wire.RunFile(
            namespace="",
            name=self.job.metadata.title,
            uid="",
            attempt=self.attempt.number,
            storage_uri=str(self.attempt.path),
            spec=self.job.spec,
        )


def _execute(local: Local, console: Console) -> int:
    from headway_trainer.ray.runtime import Head, lent_cores, local_gpus, set_environment, wants_runtime_envs

    set_environment()
    from headway_trainer.logs import shipper, sources
    from headway_trainer.logs.capture import kept
    from headway_trainer.outcome import judge
    from headway_trainer.pipeline import Pipeline
    from headway_trainer.process_resources import at_once
    from headway_trainer.run import Surroundings

    spec = local.job.spec
    stop = threading.Event()
    gpus = local_gpus()
    logs = shipper.of_attempt(local.run_file(), sources.DRIVER, None, tidies=True)
    head = Head(
        processes=spec.workers.world_size,
        at_once=spec.workers.replicas * at_once(spec),
        gpus=gpus,
        runtime_envs=wants_runtime_envs(spec),
        keep=logs.add,
    )
    result: RunResult | None = None
    with Terminal(console, spec) as terminal, stop_on_signals(stop, terminal.note), kept(logs):
        try:
            surroundings = Surroundings(
                head=head,
                sink=terminal,
                stop=stop,
                note=lambda sentence: _note(sentence, terminal, logs),
                succeeded=lambda _: _publish(local),
                gpus=gpus,
                cores=lent_cores(spec.workers.world_size),
                results_uri=str(local.folder.path.absolute().parent),
                code_dir=code_folder(local),
            )
            pipeline = Pipeline(local.run_file(), surroundings)
            logs.on_lost = lambda _: pipeline.reporter.warn(shipper.LOST_LINES)
            result, _ = pipeline.execute()
        except Exception as error:
            verdict = judge(error)
            if verdict.cause in {"UserError", "GateFailed"}:
                local.folder.fail(local.attempt)
            logs.add(None, traceback.format_exc().splitlines() if verdict.cause == "Internal" else [verdict.message])
            if verdict.cause == "Internal":
                console.print_exception(show_locals=False)
        finally:
            head.stop()
    if result is not None:
        print_report(result, local.folder.path, console)
        return wire.EXIT_SUCCEEDED
    if verdict.cause == "GateFailed":
        # A finished run before it stays where people look: this one's model is kept in its own folder.
        print_report(_result_of(local), local.attempt.path, console)
    return _ended(verdict, local, console)


def _publish(local: Local) -> None:
    """Put the results in their place. Raises UserError where a file of the user's has come in the way meanwhile."""
    from headway_trainer.errors import UserError
    from headway_trainer.publish import RESULT_FILE

    result = _result_of(local)
    try:
        local.folder.finish(local.attempt, [*(one.path for one in result.artifacts), RESULT_FILE])
    except click.ClickException as error:
        raise UserError(error.message) from error


def _result_of(local: Local) -> RunResult:
    from headway_trainer.publish import RESULT_FILE
    from headway_trainer.report.model import RunResult

    return RunResult.model_validate_json((local.attempt.path / RESULT_FILE).read_bytes())


def _print(console: Console, sentence: str) -> None:
    console.print(printable(sentence), highlight=False, soft_wrap=True, markup=False)


def _note(sentence: str, terminal: Terminal, logs: Shipper) -> None:
    terminal.note(sentence)
    logs.add(None, [sentence])


def _ended(verdict: Verdict, local: Local, console: Console) -> int:
    """Say why there is no result, and how to go on; the exit code."""
    if verdict.exit_code != wire.EXIT_INTERRUPTED:
        click.echo(f"Error: {printable(verdict.message)}", err=True)
        click.echo(f"What it printed is kept in {local.attempt.path / 'logs'}.", err=True)
        return verdict.exit_code
    _print(console, f"{verdict.message[:1].upper()}{verdict.message[1:]}.")
    _print(console, f"Give the same command again to go on: headway run {local.file}")
    return EXIT_INTERRUPTED


def refuse_what_a_cluster_has(job: TrainingJob, code: Path | None) -> None:
    """Raise ClickException for what only a cluster has, with the way out. code: what --code says."""
    data = job.spec.data
    if data is not None and data.source.persistent_volume_claim is not None:
        raise click.ClickException(
            "data.source.persistentVolumeClaim is a volume of a cluster, which this machine does not have: "
            "give the files themselves with --set 'data.source={uri: PATH}'"
        )
    if job.spec.code is not None and job.spec.code.config_map is not None and code is None:
        raise click.ClickException(
            f"code.configMap {job.spec.code.config_map.name} is in a cluster: "
            "give the folder that its files come from with --code DIR"
        )


def refuse_output_in_source(job: TrainingJob, output: Path) -> None:
    """Raise ClickException where results would become rows of the next run: in a folder that the data comes from."""
    data = job.spec.data
    if data is None:
        return
    given = data.source.parts
    uris = [data.source.uri] if given is None else [given.train, given.validation, given.test]
    for uri in uris:
        if uri is None or ("://" in uri and not uri.startswith("file://")):
            continue
        source = Path(uri.removeprefix("file://")).expanduser().resolve()
        if source.is_dir() and output.resolve().is_relative_to(source):
            raise click.ClickException(
                f"--output {output} lies in the folder that the data comes from ({uri}), so the results would be taken "
                "for data: choose another --output"
            )


def code_folder(local: Local) -> str:
    """The folder that the user's own code is imported from. Raises UserError and StorageError."""
    from headway_trainer.fetch_code import fetch

    code = local.job.spec.code
    if local.code is not None:
        return str(local.code.resolve())
    if code is not None and code.git is not None:
        target = local.attempt.path / "code"
        fetch(code.git, target, None, as_user=True)
        return str(target)
    return str(Path.cwd() if local.file == "-" else Path(local.file).resolve().parent)


def read_job(file: str, settings: tuple[str, ...]) -> TrainingJob:
    """The one TrainingJob of a file, with settings laid over it. Raises InputError that names every mistake."""
    return TrainingJob.model_validate(job_file.read(file, settings, command="headway run"))


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event, note: Callable[[str], None]) -> Iterator[None]:
    """The first Ctrl-C sets stop, and a sentence says so; the second ends the process at once."""
    over = threading.Event()

    def asked(number: int, _frame: object) -> None:
        # Nothing but this: a handler may come in the middle of anything, printing and importing included.
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    def announce() -> None:
        while not over.is_set():
            if stop.wait(_LOOK_SECONDS):
                note("Stopping after a checkpoint. Press Ctrl-C again to stop at once.")
                return

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    announcer = threading.Thread(target=announce, name="headway-signals", daemon=True)
    announcer.start()
    try:
        yield
    finally:
        over.set()
        announcer.join()
        for number, handler in before.items():
            signal.signal(number, handler)
