"""``troupe evaluate``: how good a run's policy is."""

from __future__ import annotations

from typing import Annotated

import typer

from troupe.cli.output import console, outcome_line, print_json
from troupe.cli.source import directories
from troupe.core.errors import UserError
from troupe.experiments.load import apply_overrides, build_experiment
from troupe.experiments.schema import Experiment


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: a directory or URL.")],
    episodes: Annotated[int, typer.Option(min=1, help="Deterministic episodes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 7,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Measure in another world than the run's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the newest policy of a run on new episodes."""
    from troupe.fleet.evaluation import evaluate as evaluate_policy
    from troupe.fleet.runs import RunDirectory

    with directories([run]) as (path,):
        directory = RunDirectory.open(path)
        policy, experiment = directory.latest_policy(), directory.experiment()
    if experiment.task is None:
        raise UserError(f"run '{run}' has no task to evaluate.")
    if overrides:
        experiment = _with(experiment, overrides)
    result = evaluate_policy(experiment, policy, episodes, seed)
    if as_json:
        print_json(result)
        return
    console.print(f"{outcome_line(result)} (seed {seed})")
    if "accuracy_mm" in result:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in result["accuracy_mm"].items())
        iso = result["iso9283"]
        console.print(f"accuracy (mm): {shown}; success rate {result['success_rate']:.1%}")
        console.print(f"repeatability: {result['repeatability_mm']:.2f} mm (as in the paper)")
        console.print(
            f"ISO 9283 style, simulated: AP {iso['ap_mm']:.2f} mm, RP {iso['rp_mm']:.2f} mm "
            f"at {iso['poses']} poses x {iso['cycles']} cycles, noise {iso['noise']}"
        )


def _with(experiment: Experiment, overrides: list[str]) -> Experiment:
    """Return the experiment with other settings, in which its policy can act.

    Raises:
        UserError: if it cannot, or a setting is wrong.
    """
    from troupe.experiments.simulation import specs

    changed = build_experiment(apply_overrides(experiment.resolved(), overrides))
    names = ("observations", "actions")
    for name, before, after in zip(names, specs(experiment)[:2], specs(changed)[:2], strict=True):
        if before.shape != after.shape:
            raise UserError(
                f"--set: {name} are then of shape {after.shape}; the run's policy was learned "
                f"with {before.shape}."
            )
    return changed
