"""The entry point: commands, and how errors end."""

from __future__ import annotations

import os
import signal
import sys

# products of float32 matrices round differently on more threads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer
from rich.console import Console
from rich.markup import escape

from troupe import __version__
from troupe.cli.chaos import chaos
from troupe.cli.collect import collect
from troupe.cli.compare import compare
from troupe.cli.doctor import doctor
from troupe.cli.engine_server import engine_server
from troupe.cli.evaluate import evaluate
from troupe.cli.plan import plan
from troupe.cli.replay import replay
from troupe.cli.report import report
from troupe.cli.run import run
from troupe.cli.serve import serve
from troupe.cli.show import list_experiments, show
from troupe.cli.store import store
from troupe.cli.train import train
from troupe.core.errors import InterruptedRun, TroupeError

app = typer.Typer(
    help="Train robots on a troupe of simulators.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"troupe {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Train robots on a troupe of simulators."""


app.command("list")(list_experiments)
app.command()(show)
app.command()(doctor)
app.command()(train)
app.command()(run)
app.command()(collect)
app.command()(serve)
app.command()(replay)
app.command()(plan)
app.command()(chaos)
app.command()(evaluate)
app.command()(report)
app.command()(compare)
app.command("engine-server")(engine_server)
app.add_typer(store, name="store")


def main() -> None:
    """Run a command; an error that Troupe raises on purpose ends with its message and code."""
    # SIGTERM ends a command as Ctrl-C does, with exit code 130, so that what it began is closed
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except InterruptedRun as interrupted:
        _print_message("[bold yellow]interrupted:[/]", interrupted)
        sys.exit(interrupted.exit_code)
    except TroupeError as error:
        _print_message("[bold red]error:[/]", error)
        sys.exit(error.exit_code)
    finally:
        signal.signal(signal.SIGTERM, handler)


def _print_message(kind: str, error: TroupeError) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"{kind} {escape(str(error))}")
