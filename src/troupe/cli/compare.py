"""``troupe compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from troupe.cli.output import console, print_json


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Runs, or sweeps.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print runs side by side: how good, how fast, and which settings differ."""
    from troupe.analysis.compare import compare as compare_runs
    from troupe.analysis.runs import find_runs

    rows = compare_runs(find_runs(runs))
    if as_json:
        print_json({"runs": rows})
        return
    table = Table(*rows[0].keys())
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
