"""Instances divided over samplers: which is whose, and what all of them say together.

Nothing that is sampled depends on the division.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.episodes import EpisodeTable, join_instances
from troupe.experiments.schema import Experiment, FleetSettings
from troupe.fleet.sampler import Sample
from troupe.learning.base import LearnerSettings
from troupe.learning.merging import MergeSettings
from troupe.learning.merging.average import AverageSettings

Snapshot = dict[str, npt.NDArray[Any]]
Ranges = Sequence[tuple[int, int]]


def divide(num_instances: int, parts: int) -> Ranges:
    """Return the first global id of each part, and the one after its last."""
    bounds = np.linspace(0, num_instances, parts + 1).round().astype(int)
    return [(int(first), int(last)) for first, last in pairwise(bounds)]


def owners(ranges: Ranges, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of the part that each global instance id belongs to."""
    first_instances = np.array([first for first, _ in ranges])
    return np.searchsorted(first_instances, instances, side="right") - 1


def check_division(fleet: FleetSettings) -> None:
    """Check that there is an instance for each worker.

    Raises:
        UserError: if there is not.
    """
    if fleet.workers > fleet.instances:
        raise UserError(
            f"fleet.workers: {fleet.workers} is more than there are instances to divide; "
            f"valid: 0 to {fleet.instances} (fleet.instances)."
        )


def merge_settings(fleet: FleetSettings) -> MergeSettings:
    """Return how learners merge: by default the average after each update."""
    return fleet.merge if isinstance(fleet.merge, MergeSettings) else AverageSettings()


def check_learners(experiment: Experiment) -> None:
    """Check that an experiment's instances and batches can be divided over its learners.

    Raises:
        UserError: if they cannot.
    """
    fleet, settings = experiment.fleet, experiment.learner
    learners, instances, workers = fleet.learners, fleet.instances, fleet.workers
    assert isinstance(settings, LearnerSettings)
    merge_settings(fleet).check(learners)
    if instances % learners:
        raise UserError(
            f"fleet.instances ({instances}) must be a multiple of fleet.learners ({learners})."
        )
    if workers % learners:
        raise UserError(
            f"fleet.workers ({workers}) must be a multiple of fleet.learners ({learners}), or 0 "
            "for learners that step their instances themselves."
        )
    check_division(fleet)
    each = instances // learners
    if settings.batch % each:
        raise UserError(
            f"learner.batch ({settings.batch}) must be a multiple of the {each} instances that "
            f"each of {learners} learners has, e.g. {max(1, settings.batch // each) * each}."
        )


def join_samples(samples: Sequence[Sample]) -> Sample:
    """Return the samples of neighbouring ranges as one."""
    if len(samples) == 1:
        return samples[0]
    return Sample(
        fragment=join_instances([sample.fragment for sample in samples]),
        episodes=join_episodes([sample.episodes for sample in samples]),
        faults=[fault for sample in samples for fault in sample.faults],
    )


def join_episodes(tables: Sequence[EpisodeTable]) -> EpisodeTable:
    """Return tables of episodes as one, in the order of step and instance."""
    episodes = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.lexsort((episodes["instance"], episodes["step"]))
    return {name: values[order] for name, values in episodes.items()}


def join_snapshots(snapshots: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Snapshot:
    """Return the snapshots of neighbouring ranges as one.

    What is longer in some than in others, texts or the actions of episodes so far, is padded.
    """
    return {name: _joined([s[name] for s in snapshots]) for name in snapshots[0]}


def replaced(
    snapshot: Mapping[str, npt.NDArray[Any]],
    part: Mapping[str, npt.NDArray[Any]],
    first: int,
) -> Snapshot:
    """Return a snapshot with another one in the place of a range that begins at `first`."""
    return {
        name: _joined([values[:first], part[name], values[first + len(part[name]) :]])
        for name, values in snapshot.items()
    }


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    shape = np.max([part.shape[1:] for part in parts], axis=0)
    return np.concatenate([_padded(part, shape) for part in parts])


def _padded(values: npt.NDArray[Any], shape: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values with zeros behind them on all axes but the first, (N, *shape)."""
    missing = np.asarray(shape, np.int64) - values.shape[1:]
    if not missing.any():
        return values
    return np.pad(values, [(0, 0), *((0, int(number)) for number in missing)])


def split_snapshot(snapshot: Mapping[str, npt.NDArray[Any]], ranges: Ranges) -> list[Snapshot]:
    """Return a snapshot of all instances as one of each range."""
    return [{name: v[first:last] for name, v in snapshot.items()} for first, last in ranges]
