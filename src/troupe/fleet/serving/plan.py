"""Who steps which instances of a fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.experiments.load import apply_overrides, build_experiment, read_description
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.division import check_division, divide
from troupe.fleet.serving.group import Group
from troupe.fleet.serving.spec import FleetSpec

MAX_THREADS = 1024
"""Groups that one process steps, each on a thread of its own."""


@dataclass(frozen=True)
class Part:
    """What one worker steps.

    Attributes:
        first_instance: global id of its first instance.
        bounds: of its groups: the first id of each, and the one after the last.
        first_group: the number of its first group.
        slowdown: factor on the engines' declared step time.
    """

    first_instance: int
    bounds: Sequence[int]
    first_group: int
    slowdown: float


class Plan:
    """An experiment's instances, divided over workers and groups.

    Attributes:
        experiment: with its task, and without a learner.
        group: instances of a worker that step together, at most.
        seed: the root seed.
        parts: of the workers; one also where this process steps them.
    """

    def __init__(self, experiment: Experiment, group: int | None, seed: int | None) -> None:
        """Divide the instances.

        Args:
            experiment: whose `fleet` says how many instances and workers there are.
            group: instances of a worker that step together; None for all of them, or 1 where a
                simulator is slow: where it declares its `step_time` or runs elsewhere.
            seed: the root seed; None for the experiment's own.

        Raises:
            UserError: if there is no task, or the numbers do not fit.
        """
        if experiment.task is None:
            raise UserError(
                f"experiment '{experiment.name}' has no task, so there is nothing to act on."
            )
        check_division(experiment.fleet)
        self.experiment = experiment
        self.seed = experiment.seed if seed is None else seed
        fleet = experiment.fleet
        ranges = divide(fleet.instances, max(1, fleet.workers))
        largest = max(last - first for first, last in ranges)
        if group is None:
            group = 1 if _is_slow(experiment) else largest
        if not 1 <= group <= largest:
            raise UserError(f"group: {group}; valid: 1 to the {largest} instances of a worker.")
        self.group = group
        self.parts = []
        num_groups = 0
        for worker, (first, last) in enumerate(ranges):
            bounds = [*range(first, last, group), last]
            slowdown = fleet.slow_workers.get(worker, 1.0)
            self.parts.append(Part(first, bounds, num_groups, slowdown))
            num_groups += len(bounds) - 1
            if len(bounds) - 1 > MAX_THREADS:
                raise UserError(
                    f"group: {group} makes {len(bounds) - 1} groups of a worker's "
                    f"{last - first} instances; valid: up to {MAX_THREADS} groups. "
                    "Take more workers, or larger groups."
                )

    def spec(self, simulation: Simulation) -> FleetSpec:
        """Return what the fleet offers, of which one simulation is known."""
        task = self.experiment.task
        assert task is not None
        firsts = [first for part in self.parts for first in part.bounds[:-1]]
        return FleetSpec(
            experiment=self.experiment.name,
            observation=_exchanged(simulation.observation_spec),
            action=simulation.action_spec,
            metric_names=tuple(simulation.metrics()),
            bounds=[*firsts, self.experiment.fleet.instances],
            num_workers=self.experiment.fleet.workers,
            step_ns=self.experiment.loop.step,
        )

    def start_of(self, worker: int) -> dict[str, Any]:
        """Return what a worker's process is told to begin with, as JSON; `from_start` reads it."""
        description = self.experiment.resolved()
        return {"experiment": description, "group": self.group, "seed": self.seed, "worker": worker}

    @classmethod
    def from_start(cls, start: Mapping[str, Any]) -> Plan:
        """Return the plan of which a worker's process is told."""
        return cls(build_experiment(start["experiment"]), start["group"], start["seed"])


def read_experiment(
    source: str | Path, overrides: Iterable[str], instances: int | None, workers: int | None
) -> Experiment:
    """Return an experiment, without a learner of ours or what that would import.

    Args:
        source: name in the catalog, or path of a file.
        overrides: each "key.key=value".
        instances: in total; None for ``fleet.instances``.
        workers: processes; None for ``fleet.workers``.

    Raises:
        UserError: if there is no such experiment, or anything in it is wrong.
    """
    numbers = {"fleet.instances": instances, "fleet.workers": workers}
    given = [f"{key}={number}" for key, number in numbers.items() if number is not None]
    description = apply_overrides(read_description(source), [*given, *overrides])
    return build_experiment({**description, "learner": None})


def build_groups(
    experiment: Experiment, part: Part, seed: int, *, num_threads: int = 1
) -> list[Group]:
    """Return the groups of a worker; nothing has been reset yet.

    Args:
        experiment: with a task.
        part: the worker's.
        seed: the root seed.
        num_threads: native threads of each group, 0 for one a core.
    """
    groups: list[Group] = []
    try:
        for first, last in zip(part.bounds[:-1], part.bounds[1:], strict=True):
            simulation = Simulation(
                experiment,
                last - first,
                seed=seed,
                first_instance=first,
                num_threads=num_threads,
                slowdown=part.slowdown,
            )
            groups.append(Group(simulation, experiment.loop.step))
    except BaseException:
        for group in groups:
            group.simulation.close()
        raise
    return groups


def _is_slow(experiment: Experiment) -> bool:
    engines = experiment.engines.values()
    return any(engine.step_time is not None or engine.host != "here" for engine in engines)


def _exchanged(spec: ArraySpec) -> ArraySpec:
    """Return the spec of observations as they are exchanged: whole numbers, or float32."""
    dtype = spec.dtype if spec.dtype.kind in "iu" else np.dtype(np.float32)
    return ArraySpec(spec.shape, spec.unit, spec.low, spec.high, dtype, spec.names, spec.categories)
