"""``troupe list`` and ``troupe show``: which experiments there are, and what is in one."""

from __future__ import annotations

from typing import Annotated

import typer

from troupe.cli.output import print_description, print_json
from troupe.cli.source import describe_experiment
from troupe.core import plugins
from troupe.experiments.load import build_experiment, catalog_names, load_experiment

GROUPS = ("engines", "robots", "tasks", "learners")


def list_experiments(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the bundled experiments, and the types that experiments can be made of."""
    experiments = {name: load_experiment(name).description for name in catalog_names()}
    types = {group: plugins.names(f"troupe.{group}") for group in GROUPS}
    if as_json:
        print_json({"experiments": experiments, **types})
        return
    width = max(map(len, experiments))
    for name, description in experiments.items():
        print(f"{name:<{width}}  {description}")
    for group, names in types.items():
        print(f"\n{group}: {', '.join(names)}", end="")
    print()


def show(
    source: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="Show this Gymnasium id's experiment.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print an experiment as it will run, with every default written out."""
    resolved = build_experiment(describe_experiment(source, env, overrides or [])).resolved()
    print_description(resolved, as_json)
