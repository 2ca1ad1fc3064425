"""``troupe run``: step engines together on one clock and record what they exchange."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from troupe.cli.output import console, print_description, print_json, users_output
from troupe.cli.source import describe_experiment, new_run_path
from troupe.core import plugins
from troupe.core.errors import UserError
from troupe.experiments.load import build_experiment

if TYPE_CHECKING:
    from troupe.fleet.closed_loop import Moment, Report


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="A catalog name, a YAML file, or an NRP-core configuration (JSON).",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-o", metavar="KEY=VALUE", help="Override a setting."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Of simulated time to run, e.g. 10s.")
    ] = None,
    instances: Annotated[int | None, typer.Option(help="Worlds to run in lockstep.")] = None,
    real_time: Annotated[
        float | None, typer.Option(help="Pace the run to this many times real time.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The root seed.")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run directory to write, or a URL.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the description, start nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Step an experiment's engines together on one clock and record what they exchange."""
    shortcuts = {
        "seed": seed,
        "loop.duration": duration,
        "fleet.instances": instances,
        "loop.real_time": real_time,
    }
    given = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    if source.endswith(".json"):
        if given:
            raise UserError(f"an NRP-core configuration is overridden with -o, not {given[0]}.")
        _run_foreign(Path(source), overrides or [], as_json)
        return
    experiment = build_experiment(describe_experiment(source, None, [*(overrides or []), *given]))
    if dry_run:
        print_description(experiment.resolved(), as_json)
        return
    from troupe.fleet.closed_loop import run_loop
    from troupe.fleet.remote_runs import opened
    from troupe.fleet.storage import shown

    with opened(out or new_run_path(experiment.name), force=force) as path:
        with _progress(quiet=as_json) as report, users_output(as_json):
            summary = run_loop(experiment, path, force=force, report=report)
        summary["run"] = shown(path)
        if as_json:
            print_json(summary)
        else:
            _print_summary(summary)


def _run_foreign(path: Path, overrides: list[str], as_json: bool) -> None:
    """Run a description of another program, which a plugin understands."""
    if "nrp" not in plugins.names("troupe.formats"):
        raise UserError(
            f"'{path}' is an NRP-core configuration: pip install troupe-nrp, which runs them."
        )
    with users_output(as_json):
        summary = plugins.load("troupe.formats", "nrp")(path, overrides)
    if as_json:
        print_json(summary)
    else:
        console.print(f"ran {summary['time_s']:g} s of simulated time: {summary['stop_reason']}")


def _print_summary(summary: dict[str, Any]) -> None:
    console.print(
        f"ran {summary['time_s']:g} s of simulated time in {summary['wall_s']:.1f} s "
        f"({summary['iterations']:,} synchronisations, start-up {summary['startup_s']:.1f} s)"
    )
    if summary["faults"]:
        console.print(f"{summary['faults']} failures of instances, in faults.jsonl")
    if summary["pacing"]:
        pacing = summary["pacing"]
        console.print(
            f"{pacing['missed']} of {pacing['deadlines']:,} deadlines missed by more than 1 ms, "
            f"99 % within {pacing['late_ms_p99']:.2f} ms"
        )
    console.print(f"recording: {summary['run']}/recording")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Report]:
    """Show how far the run is, on a terminal."""
    if quiet or not console.is_terminal:
        yield lambda moment: None
        return
    with console.status("starting") as line:

        def show(moment: Moment) -> None:
            of = f" of {moment.duration_s:g}" if moment.duration_s is not None else ""
            speed = moment.time_s / moment.wall_s
            line.update(f"{moment.time_s:.2f}{of} s simulated, {speed:.2f} times real time")

        yield show
