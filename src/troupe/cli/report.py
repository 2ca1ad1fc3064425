"""``troupe report``: one page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from troupe.cli.output import console, print_json
from troupe.cli.source import directories
from troupe.core.errors import UserError


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, or sweeps: directories or URLs."),
    ],
    out: Annotated[Path | None, typer.Option(help="The HTML file to write.")] = None,
    price_per_hour: Annotated[float | None, typer.Option(help="Of an instance.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a self-contained HTML page, and its figures as PNG beside it."""
    from troupe.analysis.report import write_report
    from troupe.analysis.runs import read_runs
    from troupe.fleet.storage import is_url

    if out is None and is_url(runs[0]):
        raise UserError(f"'{runs[0]}' is read only: give --out, an HTML file on this machine.")
    with directories(runs) as paths:
        records = read_runs(paths)
        page = out or paths[0] / "report.html"
        written = write_report(records, page, price_per_hour=price_per_hour)
    if as_json:
        print_json({"report": str(written), "runs": [str(r.path) for r in records]})
    else:
        console.print(f"report: {written}")
