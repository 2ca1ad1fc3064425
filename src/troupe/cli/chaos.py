"""``troupe chaos``: what a storm of deaths costs a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from troupe.cli.output import console, print_json, users_output
from troupe.cli.source import describe_experiment, new_run_path
from troupe.core.errors import TroupeError, UserError
from troupe.core.time import NANOSECONDS, parse_duration
from troupe.experiments.load import build_experiment

if TYPE_CHECKING:
    from troupe.fleet.storm import Blow, Part


def chaos(
    source: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="Train on this Gymnasium id instead.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Ray actors to sample with.")] = None,
    duration: Annotated[str, typer.Option(help="Of the undisturbed run, e.g. 10min.")] = "10min",
    kill_actor_every: Annotated[
        str | None, typer.Option(help="Time between two deaths of a random actor, e.g. 10s.")
    ] = None,
    kill_learner_every: Annotated[
        str | None, typer.Option(help="Time between two deaths of a learner, or of the only one.")
    ] = None,
    kill_node_every: Annotated[
        str | None, typer.Option(help="Time between two deaths of Ray on this machine.")
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="A YAML list of {at: 10s, kill: actor, which: 3}.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the storm.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The directory for both runs.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace runs that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train undisturbed for a time, then as far in a storm of deaths, and tell what it cost."""
    from troupe.fleet.chaos import run_chaos
    from troupe.fleet.runs import check_output
    from troupe.fleet.training import check_experiment

    given = [*(overrides or []), *([] if workers is None else [f"fleet.workers={workers}"])]
    every: dict[Part, str | None] = {
        "actor": kill_actor_every,
        "learner": kill_learner_every,
        "node": kill_node_every,
    }
    duration_s = _seconds(duration, "--duration")
    with users_output(as_json):
        experiment = build_experiment(describe_experiment(source, env, given))
        blows = _storm(every, script, duration_s, seed, experiment.fleet.workers)
        if experiment.fleet.workers == 0 and any(blow.part != "learner" for blow in blows):
            raise UserError("fleet.workers is 0: there are no actors or nodes to kill; give more.")
        place = out or new_run_path(f"{experiment.name}-chaos")
        for run in ("calm", "storm"):
            check_output(place / run, force=force)
        check_experiment(experiment)
    found = run_chaos(
        experiment,
        blows,
        place,
        duration_s=duration_s,
        report=(lambda line: None) if as_json else console.print,
    )
    if as_json:
        print_json(found)
    else:
        _print(found)
    if lost := found["steps"]["acknowledged_lost"]:
        raise TroupeError(f"{lost} steps that had arrived were lost.")


def _storm(
    every: dict[Part, str | None], script: Path | None, duration_s: float, seed: int, workers: int
) -> list[Blow]:
    """Return what is to happen.

    Raises:
        UserError: if that is nothing, or said in two ways.
    """
    from troupe.fleet.storm import regular_storm, scripted_storm

    every_s = {
        part: _seconds(text, f"--kill-{part}-every")
        for part, text in every.items()
        if text is not None
    }
    if script is not None and every_s:
        raise UserError("give either --script or intervals, --kill-actor-every and the like.")
    if script is not None:
        return scripted_storm(script, seed)
    if not every_s:
        every_s = {"actor": 10.0, "learner": 60.0} if workers else {"learner": 60.0}
    # the storm takes longer than the undisturbed run, and goes on until its steps are done
    return regular_storm(every_s, 10 * duration_s, seed)


def _seconds(text: str, option: str) -> float:
    try:
        duration_ns = parse_duration(text)
    except UserError as error:
        raise UserError(f"{option}: {error}") from error
    if duration_ns == 0:
        raise UserError(f"{option}: '{text}' is no time at all.")
    return duration_ns / NANOSECONDS["s"]


def _print(found: dict[str, Any]) -> None:
    steps, returns = found["steps"], found["return"]
    table = Table(f"{found['experiment']} in a storm", "")
    kills = ", ".join(f"{n} × {part}" for part, n in found["kills"].items())
    table.add_row("kills", f"{kills}; {found['missed']} more found nothing to kill")
    table.add_row("steps learned from", f"{steps['learned']:,}")
    table.add_row("steps that arrived, lost", f"{steps['acknowledged_lost']:,}")
    table.add_row("steps sampled again", f"{steps['sampled_again']:,}")
    table.add_row("steps under way, lost (at most)", f"{steps['unacknowledged_lost']:,}")
    rate = found["steps_per_s"]
    table.add_row(
        "throughput retained",
        f"{found['throughput_retained']:.1%} ({rate['storm']:,.0f} of {rate['calm']:,.0f} steps/s)",
    )
    table.add_row(
        "final return",
        f"{returns['storm']:.3f}, undisturbed {returns['calm']:.3f}, difference "
        f"{returns['difference']:+.3f} ± {1.96 * returns['standard_error']:.3f} "
        f"over {returns['episodes']} episodes",
    )
    table.add_row("time to recover from a learner's death", _times(found["recovery_s"]))
    table.add_row("time until an actor is replaced", _times(found["actor_back_s"]))
    console.print(table)


def _times(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "-"
    return f"{spread['median']:.1f} s ({spread['least']:.1f} to {spread['greatest']:.1f})"
