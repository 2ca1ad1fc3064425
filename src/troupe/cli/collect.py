"""``troupe collect``: episodes of a policy into a shared store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from troupe.cli.output import console, print_description, print_json
from troupe.cli.source import describe_experiment
from troupe.core.errors import UserError
from troupe.experiments.load import build_experiment

if TYPE_CHECKING:
    from troupe.fleet.collecting.crew import Progress


def collect(
    source: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ],
    store: Annotated[
        str, typer.Option(metavar="URL", help="The store: a directory or URL; made if new.")
    ],
    episodes: Annotated[int, typer.Option(min=1, help="How many to add.")] = 100,
    policy: Annotated[
        str,
        typer.Option(
            help="random, zero, heuristic (grasping), the directory of a run, or FILE.py:NAME."
        ),
    ] = "random",
    instances: Annotated[int | None, typer.Option(help="Simulated worlds in all.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray actors to collect with; 0 for this process.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The root seed.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster.")] = None,
    pace: Annotated[
        float, typer.Option(min=0.0, help="Simulated seconds a second; 0 for as fast as it goes.")
    ] = 0.0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    spool: Annotated[
        Path | None, typer.Option(help="Where episodes wait while the store does not answer.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, run nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Collect episodes of a policy into a shared store, while others read it.

    The same command with the same seed goes on after the episodes that are there.
    """
    shortcuts = {
        "seed": seed,
        "fleet.instances": instances,
        "fleet.workers": workers,
        "fleet.address": address,
    }
    given = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    experiment = build_experiment(describe_experiment(source, None, [*(overrides or []), *given]))
    if experiment.task is None:
        raise UserError(f"experiment '{experiment.name}' has no task, so it has no episodes.")
    if dry_run:
        print_description(experiment.resolved(), as_json)
        return
    from troupe.fleet.collecting.crew import collect as collect_episodes

    summary = collect_episodes(
        experiment,
        store,
        episodes,
        policy=policy,
        pace=pace,
        spool=spool,
        report=(lambda progress: None) if as_json else _report,
        say=console.print,
    )
    if as_json:
        print_json(summary)
        return
    console.print(
        f"{summary['episodes']:,} episodes in {summary['wall_s']:.1f} s, "
        f"{summary['episodes_per_hour']:,.0f} an hour; {summary['success_rate']:.1%} succeeded; "
        f"{summary['stepping_share']:.0%} of the time was simulation.\n"
        f"{summary['store']}"
    )


def _report(progress: Progress) -> None:
    rate = progress.there / progress.wall_s if progress.wall_s else 0.0
    console.print(
        f"{progress.there:,} of {progress.episodes:,} episodes, {3600 * rate:,.0f} an hour, "
        f"{progress.successes / max(1, progress.there):.1%} succeeded"
    )
