"""Runs that differ by nothing but their seed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from troupe.analysis.published import Published, published_for
from troupe.analysis.runs import RunRecord
from troupe.analysis.settings import Flat, differing, flatten

# do not change what is learned, or are told by a part of the label of their own
NOT_LABELLED = ("seed", "name", "description", "fleet.workers", "fleet.address")
LABEL_WIDTH = 60


@dataclass(frozen=True, eq=False)
class Group:
    """Seeds of one experiment with one number of workers.

    Attributes:
        label: what tells it from the other groups.
        series: the label without the number of workers; groups that share it are one scaling.
        runs: at least one.
    """

    label: str
    series: str
    runs: tuple[RunRecord, ...]

    @property
    def workers(self) -> int:
        """The number of workers, 0 for training in one process."""
        return self.runs[0].experiment.fleet.workers

    @property
    def published(self) -> Published | None:
        """The results published for its robot."""
        return published_for(self.runs[0].experiment)


def workers_label(workers: int) -> str:
    """Return a number of workers in words."""
    if workers == 0:
        return "in process"
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def group_runs(runs: Sequence[RunRecord]) -> list[Group]:
    """Return the groups of runs, series after series, by number of workers."""
    groups: dict[tuple[tuple[str, str], ...], list[RunRecord]] = {}
    for run in runs:
        flat = flatten(run.experiment)
        key = tuple((k, v) for k, v in flat.items() if k not in ("seed", "fleet.address"))
        groups.setdefault(key, []).append(run)
    members = [tuple(group) for group in groups.values()]
    flats = [flatten(group[0].experiment) for group in members]
    series = [_series(flat, flats) for flat in flats]
    order = list(dict.fromkeys(series))
    one_count = len({flat["fleet.workers"] for flat in flats}) == 1
    made = []
    for group, name in zip(members, series, strict=True):
        workers = workers_label(group[0].experiment.fleet.workers)
        parts = [name] if name and one_count else [name, workers]
        made.append(Group(", ".join(p for p in parts if p), name, group))
    return sorted(made, key=lambda group: (order.index(group.series), group.workers))


def _series(flat: Flat, flats: Sequence[Flat]) -> str:
    """Return what tells a group from the others, but for its number of workers."""
    namesakes = [other for other in flats if other["name"] == flat["name"]]
    keys = differing(namesakes, but=NOT_LABELLED)
    parts = [f"{key} = {flat.get(key, 'default')}" for key in keys]
    several_names = len(namesakes) < len(flats)
    text = ", ".join(([flat["name"]] if several_names else []) + parts)
    return textwrap.shorten(text, LABEL_WIDTH, placeholder=" …") if text else ""
