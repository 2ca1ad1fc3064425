"""What a report calls what was counted, by what the runs learned from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from troupe.analysis.runs import RunRecord


@dataclass(frozen=True)
class Terms:
    """Words for figures of runs.

    Attributes:
        steps: what the steps of a run are.
        episodes: over which the means are that a run records while it learns.
        episodes_in_full: the same for a sentence.
    """

    steps: str
    episodes: str
    episodes_in_full: str


SAMPLING = Terms("steps", "last 100 episodes", "last 100 training episodes, noise included,")
OFFLINE = Terms("gradient steps", "10 test episodes", "10 deterministic test episodes")
BOTH = Terms(
    "steps or gradient steps",
    "last 100 or 10 test episodes",
    "last 100 training episodes, noise included, or (from a store) 10 deterministic ones",
)


def terms(runs: Iterable[RunRecord]) -> Terms:
    """Return the words for runs that sample, that learn from stored episodes, or for both."""
    kinds = {run.is_offline for run in runs}
    if kinds == {True}:
        return OFFLINE
    return BOTH if True in kinds else SAMPLING
