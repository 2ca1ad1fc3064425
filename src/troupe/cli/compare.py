"""``troupe compare``: runs side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from troupe.cli.output import console, print_json
from troupe.cli.source import directories


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...", help="Runs, or sweeps: directories or URLs."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print runs side by side: how good, how fast, and which settings differ."""
    from troupe.analysis.compare import compare as compare_runs
    from troupe.analysis.runs import read_runs

    with directories(runs) as paths:
        comparison = compare_runs(read_runs(paths))
    if as_json:
        print_json(asdict(comparison))
        return
    # a column a run, since runs are few and figures many
    columns = [asdict(row) for row in comparison.rows]
    table = Table("", *(str(column.pop("name")) for column in columns))
    for name in columns[0]:
        table.add_row(name, *(_text(column[name]) for column in columns))
    console.print(table)
    if comparison.equal_curves:
        console.print("the learning curves are bitwise equal")


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
