"""``troupe train``: learn an experiment's task, measure the policy and write a report."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from troupe.cli.output import (
    console,
    outcome_line,
    print_description,
    print_json,
    training_progress,
)
from troupe.cli.source import describe_experiment, new_run_path
from troupe.core.errors import UserError
from troupe.experiments.load import Description, apply_overrides, build_experiment


def train(
    source: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="Train on this Gymnasium id instead.")] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Learn from the episodes of this store (bc, iql)."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Only from episodes that fulfil this, e.g. success > 0."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run: a directory or URL.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The root seed.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ray actors to sample with; 0 for this process.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster.")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run directory to write, or a URL.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, run nothing.")
    ] = False,
    supervised: Annotated[
        bool,
        typer.Option(
            "--supervise", help="Begin again by itself at the newest checkpoint, if dead."
        ),
    ] = False,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Of an instance, for the cost in the report.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Learn an experiment's task, measure the policy and write a report.

    Any setting may be ``{grid_search: [a, b]}``: then all combinations run and share a report.
    """
    shortcuts = {"seed": seed, "fleet.workers": workers, "fleet.address": address}
    given = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    if resume is not None and (out is not None or force):
        raise UserError("--resume goes on in its own directory: leave out --out and --force.")
    if resume is not None and store is not None:
        raise UserError("--resume goes on with the episodes of its run: leave out --store.")
    if where is not None and store is None:
        raise UserError("--where says which episodes of a --store to learn from: give one.")
    from troupe.fleet.remote_runs import opened
    from troupe.fleet.storage import local_of

    named, is_resumed = resume or out, resume is not None
    writes = not (dry_run or supervised)
    with (
        opened(named, resume=is_resumed, force=force, writes=writes) if named else nullcontext()
    ) as path:
        resumed = path if is_resumed else None
        descriptions = _describe(source, env, resumed, [*(overrides or []), *given])
        names = list(descriptions)
        first = descriptions[names[0]]
        default = str(first.get("name")) if names == [""] else f"{first.get('name')}-sweep"
        place = Place(path or new_run_path(default), force, is_resumed)
        if supervised and not dry_run:
            local = local_of(named or place.path)
            lends_ray = _uses_local_ray(descriptions.values())
            named = str(named or place.path)
            _supervise(place, named, local, lends_ray, price_per_hour, as_json)
        elif names == [""]:
            data = None if store is None else (store, where)
            _train_one(first, place, data, dry_run, price_per_hour, as_json)
        elif store is not None:
            raise UserError("--store: one run at a time; leave out grid_search.")
        else:
            _sweep(descriptions, place, dry_run, price_per_hour, as_json)


@dataclass(frozen=True)
class Place:
    """Where to write.

    Attributes:
        path: of the run or sweep.
        force: whether one that is there may be replaced.
        resume: whether to go on with the one that is there.
    """

    path: Path
    force: bool
    resume: bool


def _uses_local_ray(descriptions: Collection[Description]) -> bool:
    """Return whether what is to be trained would start a Ray on this machine."""
    if os.environ.get("RAY_ADDRESS", "local") != "local":
        return False
    fleets = [build_experiment(description).fleet for description in descriptions]
    one = fleets[0]
    return one.address in (None, "local") and (
        len(fleets) > 1 or one.workers > 0 or one.learners > 1
    )


def _supervise(
    place: Place,
    named: str,
    local: Path,
    lends_ray: bool,
    price_per_hour: float | None,
    as_json: bool,
) -> None:
    """Run this command again in a process of its own, as often as it takes.

    Args:
        place: where to write.
        named: that place, as a path or URL.
        local: where it is on this machine while it is written.
        lends_ray: whether to start a Ray on this machine for the training.
        price_per_hour: for the report.
        as_json: what to print.
    """
    from troupe.fleet.supervision import supervise

    options = ["--json"] if as_json else []
    if price_per_hour is not None:
        options += ["--price-per-hour", str(price_per_hour)]
    first = [argument for argument in sys.argv[1:] if argument != "--supervise"]
    if not place.resume:
        first += ["--out", named]  # if it was given already, the same again
    again = ["train", "--resume", named, *options]
    raise typer.Exit(supervise(first, again, local, report=console.print, lends_ray=lends_ray))


def _train_one(
    description: Description,
    place: Place,
    data: tuple[str, str | None] | None,
    dry_run: bool,
    price_per_hour: float | None,
    as_json: bool,
) -> None:
    """Train one experiment, from a store and a condition if they are given, and report on it."""
    from troupe.fleet.launch import check_place, run_training
    from troupe.fleet.offline import Source, check_offline, source_of
    from troupe.fleet.runs import RunDirectory, run_steps
    from troupe.fleet.storage import shown
    from troupe.fleet.training import check_experiment

    experiment, path = build_experiment(description), place.path
    source = Source(*data) if data is not None else None
    if dry_run:
        check_place(experiment, path, force=place.force, resume=place.resume)
        known = source_of(RunDirectory.open(path)) if place.resume else source
        if known is None:
            check_experiment(experiment)
        else:
            check_offline(experiment, known)
        print_description(experiment.resolved(), as_json)
        return
    with training_progress(run_steps(experiment), quiet=as_json) as show:
        summary = run_training(
            experiment, path, force=place.force, resume=place.resume, source=source, report=show
        )
    summary["run"] = shown(path)
    report = shown(_write_report([path], path / "report.html", price_per_hour))
    if as_json:
        print_json({**summary, "report": report})
    else:
        _print_summary(summary, report)


def _describe(
    source: str | None, env: str | None, resume: Path | None, overrides: list[str]
) -> dict[str, Description]:
    """Return what is to be trained, from the one place that was given: all runs of a sweep by name.

    That of a single run is "".
    """
    from troupe.fleet.sweep import combinations, is_sweep, read_sweep

    given = [place for place in (source, env, resume) if place is not None]
    if len(given) != 1:
        raise UserError(
            "give one of: an experiment, --env with a Gymnasium id, --resume with a run."
        )
    if resume is not None:
        from troupe.fleet.runs import RunDirectory

        if is_sweep(resume):
            return {n: apply_overrides(d, overrides) for n, d in read_sweep(resume).items()}
        description = RunDirectory.open(resume).experiment().resolved()
        return {"": apply_overrides(description, overrides)}
    return combinations(describe_experiment(source, env, overrides))


def _sweep(
    descriptions: dict[str, Description],
    place: Place,
    dry_run: bool,
    price_per_hour: float | None,
    as_json: bool,
) -> None:
    """Train every combination of a grid and write one report on all of them."""
    from troupe.fleet.storage import shown
    from troupe.fleet.sweep import check_sweep, run_sweep

    path, force, resume = place.path, place.force, place.resume
    experiments = check_sweep(descriptions, path, force=force, resume=resume)
    if dry_run:
        resolved = {name: experiment.resolved() for name, experiment in experiments.items()}
        print_description({"runs": resolved}, as_json)
        return
    summaries = run_sweep(experiments, path, force=force, resume=resume, report=console.print)
    report = shown(_write_report([path], path / "report.html", price_per_hour))
    if as_json:
        print_json({"sweep": shown(path), "runs": summaries, "report": report})
    else:
        console.print(f"report: {report}")


def _write_report(paths: list[Path], output: Path, price_per_hour: float | None) -> Path:
    from troupe.analysis.report import write_report
    from troupe.analysis.runs import read_runs

    return write_report(read_runs(paths), output, price_per_hour=price_per_hour)


def _print_summary(summary: dict[str, Any], report: str) -> None:
    evaluation = summary["evaluation"]
    if "learned_from" in summary:
        data = summary["learned_from"]
        console.print(
            f"learned from {data['steps']:,} steps of {data['episodes']:,} stored episodes, whose "
            f"mean return is {data['mean_return']:.2f}"
        )
    console.print(
        f"trained {summary['steps']:,} steps in {summary['wall_s']:.1f} s "
        f"({summary['steps_per_s']:,.0f} steps/s, start-up {summary['startup_s']:.1f} s)"
    )
    if summary["learned"]:
        learned = summary["learned"]
        console.print(
            f"learned after {learned['attempts']:,.0f} attempts, {learned['wall_s']:.1f} s "
            "(10 of 10 test episodes inside the threshold)"
        )
    if "accuracy_mm" in evaluation:
        accuracy, iso = evaluation["accuracy_mm"], evaluation["iso9283"]
        console.print(
            f"[bold]accuracy: mean {accuracy['mean']:.2f} mm, median {accuracy['median']:.2f} mm, "
            f"99 % within {accuracy['p99']:.2f} mm[/] over {evaluation['episodes']} new targets; "
            f"repeatability {iso['rp_mm']:.2f} mm (simulated, ISO 9283 style)"
        )
    else:
        console.print(f"[bold]{outcome_line(evaluation)}[/]")
    console.print(f"report: {report}")
    console.print(
        f"policy: {summary['run']}/checkpoints/{summary['steps']:012d}/policy.safetensors"
    )
