"""One self-contained page about one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from troupe.analysis import page, sections
from troupe.analysis.figures import Picture, draw_figures
from troupe.analysis.groups import group_runs
from troupe.analysis.headline import headline, title
from troupe.analysis.recorded import is_recorded, recorded_body
from troupe.analysis.runs import RunRecord
from troupe.core import UserError
from troupe.core.files import write_atomic


def write_report(
    runs: Sequence[RunRecord], output: Path, price_per_hour: float | None = None
) -> Path:
    """Write an HTML page that opens without network, and its figures as PNG beside it.

    Args:
        runs: at least one; those that differ by nothing but their seed are shown as bands.
        output: of the page; the PNGs go to ``<stem>_figures/`` in the same directory.
        price_per_hour: of one machine; without it nothing is said of cost.

    Returns:
        The page's path.

    Raises:
        UserError: if there are no runs, the price is negative, or the page cannot be written.
    """
    if not runs:
        raise UserError("report: give at least one run.")
    if price_per_hour is not None and not price_per_hour >= 0:
        raise UserError(f"price per hour: at least 0, not {price_per_hour}.")
    recorded = [run for run in runs if is_recorded(run)]
    if recorded and len(recorded) < len(runs):
        raise UserError(
            f"report: give either trained runs or recorded ones; '{recorded[0].path}' is recorded."
        )
    body, drawn = recorded_body(runs) if recorded else _trained_body(runs, price_per_hour)
    try:
        directory = output.parent / f"{output.stem}_figures"
        directory.mkdir(parents=True, exist_ok=True)
        for picture in drawn:
            write_atomic(directory / f"{picture.name}.png", picture.png)
        write_atomic(output, page.page(f"{title(runs)}: report", body))
    except OSError as error:
        raise UserError(f"report '{output}' cannot be written: {error.strerror}.") from error
    return output


def _trained_body(
    runs: Sequence[RunRecord], price_per_hour: float | None
) -> tuple[str, list[Picture]]:
    groups = group_runs(runs)
    drawn = draw_figures(groups)
    parts = [
        headline(runs, groups),
        sections.pictures(drawn),
        sections.accuracy(groups),
        sections.effort(groups),
        sections.cost(runs, price_per_hour) if price_per_hour is not None else "",
        sections.settings(runs),
        sections.versions(runs),
    ]
    return "\n".join(part for part in parts if part), drawn
