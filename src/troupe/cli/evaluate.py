"""``troupe evaluate``: how good a run's policy is."""

from __future__ import annotations

from typing import Annotated

import typer

from troupe.cli.output import console, print_json
from troupe.cli.source import directories
from troupe.core.errors import UserError


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: a directory or URL.")],
    episodes: Annotated[int, typer.Option(min=1, help="Deterministic episodes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 7,
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
    result = evaluate_policy(experiment, policy, episodes, seed)
    if as_json:
        print_json(result)
        return
    console.print(f"episodes: {episodes} (seed {seed}), mean return {result['mean_return']:.2f}")
    if "accuracy_mm" in result:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in result["accuracy_mm"].items())
        iso = result["iso9283"]
        console.print(f"accuracy (mm): {shown}; success rate {result['success_rate']:.1%}")
        console.print(f"repeatability: {result['repeatability_mm']:.2f} mm (as in the paper)")
        console.print(
            f"ISO 9283 style, simulated: AP {iso['ap_mm']:.2f} mm, RP {iso['rp_mm']:.2f} mm "
            f"at {iso['poses']} poses x {iso['cycles']} cycles, noise {iso['noise']}"
        )
