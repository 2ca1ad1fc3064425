"""Runs side by side: their figures, their settings, and whether they learned bitwise the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from troupe.analysis.measures import evaluated, learned, throughput
from troupe.analysis.runs import Column, RunRecord, run_names
from troupe.analysis.settings import differing, flatten

# depend on the machine and on workers that died, not on what was learned
NOT_LEARNING = ("wall_s", "steps_per_s", "dropped_steps")


@dataclass(frozen=True)
class ComparisonRow:
    """One run beside the others; None stands for what it has not got.

    Attributes:
        name: that tells it from the others.
        experiment: its name.
        seed: the root seed.
        workers: 0 for training in one process.
        steps: of all instances.
        wall_s: learning time.
        steps_per_s: over the whole run.
        mean_return: of the evaluation, else of the last training episodes.
        accuracy_mean_mm: mean final error of the evaluation.
        accuracy_p99_mm: its 99th percentile.
        success_rate: of the evaluation.
        learned_attempts: episodes begun until the task was learned.
        settings: those that are not the same in all runs, but for seed and workers.
        differs_at: the first update whose figures are not bitwise those of the first run; None if
            there is none as far as both go.
        updates: how far its learning curve goes.
    """

    name: str
    experiment: str
    seed: int
    workers: int
    steps: int | None
    wall_s: float | None
    steps_per_s: float | None
    mean_return: float | None
    accuracy_mean_mm: float | None
    accuracy_p99_mm: float | None
    success_rate: float | None
    learned_attempts: int | None
    settings: Mapping[str, str]
    differs_at: int | None
    updates: int


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        rows: one a run, in the order given.
        equal_curves: whether all learning curves are bitwise equal, from first to last update.
    """

    rows: tuple[ComparisonRow, ...]
    equal_curves: bool


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Return runs side by side; curves are compared with that of the first."""
    flats = [flatten(run.experiment) for run in runs]
    keys = differing(flats, but=("seed", "fleet.workers"))
    settings = [{key: flat.get(key, "default") for key in keys} for flat in flats]
    rows = tuple(
        _row(run, name, values, first_difference(runs[0], run))
        for run, name, values in zip(runs, run_names(runs), settings, strict=True)
    )
    same_length = len({row.updates for row in rows}) == 1
    return Comparison(rows, same_length and all(row.differs_at is None for row in rows))


def first_difference(first: RunRecord, second: RunRecord) -> int | None:
    """Return the first update whose figures differ bitwise between runs, as far as both go.

    Time and what depends on it do not count; a figure that only one of them has does.
    """
    length = min(first.num_updates, second.num_updates)
    names = (first.metrics.keys() | second.metrics.keys()) - set(NOT_LEARNING)
    differs = np.zeros(length, np.bool_)
    for name in names if length else ():
        if name not in first.metrics or name not in second.metrics:
            differs[:] = True
            continue
        one, other = first.metrics[name][:length], second.metrics[name][:length]
        # as bits: NaN equals NaN, and 0.0 is not -0.0
        same_type = one.dtype == other.dtype
        differs |= (_bits(one) != _bits(other)).any(axis=1) if same_type else True
    where = np.flatnonzero(differs)
    return int(first.metrics["update"][where[0]]) if len(where) else None


def _bits(values: Column) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _row(
    run: RunRecord, name: str, settings: Mapping[str, str], differs_at: int | None
) -> ComparisonRow:
    steps, attempts = run.total("steps"), learned("attempts")(run)
    mean_return = evaluated("mean_return")(run)
    return ComparisonRow(
        name=name,
        experiment=run.experiment.name,
        seed=run.experiment.seed,
        workers=run.experiment.fleet.workers,
        steps=None if steps is None else int(steps),
        wall_s=run.total("wall_s"),
        steps_per_s=throughput(run),
        mean_return=run.last("mean_return") if mean_return is None else mean_return,
        accuracy_mean_mm=evaluated("accuracy_mm", "mean")(run),
        accuracy_p99_mm=evaluated("accuracy_mm", "p99")(run),
        success_rate=evaluated("success_rate")(run),
        learned_attempts=None if attempts is None else int(attempts),
        settings=settings,
        differs_at=differs_at,
        updates=run.num_updates,
    )
