"""How far a run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from troupe.core.time import NANOSECONDS
from troupe.experiments.schema import Experiment, StopSettings
from troupe.fleet.sampler import Sample

RECENT = 100
"""Episodes over which means are reported."""


@dataclass
class Progress:
    """Counts and recent figures of a run; all that a checkpoint needs beside arrays.

    Attributes:
        updates: of the policy.
        sampled: steps that the workers took.
        steps: of them, learned from.
        waiting: of them, kept for the next updates.
        lost: of them, those that died with a worker before they arrived, at most.
        late: of those learned from, the ones further behind than ``fleet.max_lag``.
        episodes: that ended.
        faults: of engines, each of which cut an episode off.
        abandoned: episodes cut off by a stop, because an engine cannot snapshot.
        wall_s: of learning, without start-up, over all sittings.
        lag: mean policy lag of the last fragment.
        learned: when all test episodes first succeeded: attempts, steps and wall_s.
        recent: figures of the last episodes by name.
    """

    updates: int = 0
    sampled: int = 0
    steps: int = 0
    waiting: int = 0
    lost: int = 0
    late: int = 0
    episodes: int = 0
    faults: int = 0
    abandoned: int = 0
    wall_s: float = 0.0
    lag: float = 0.0
    learned: dict[str, float] = field(default_factory=dict)
    recent: dict[str, list[float]] = field(default_factory=dict)

    def add(self, sample: Sample, wall_s: float, lag: float) -> None:
        """Count an update from a sample, at a time of learning, with its mean policy lag."""
        self.wall_s = wall_s
        self.updates += 1
        self.steps += sample.fragment.num_steps
        self.lag = lag
        self.add_ended(sample)

    def add_ended(self, sample: Sample) -> None:
        """Count the episodes that ended in a sample, and the faults."""
        self.faults += len(sample.faults)
        self.episodes += len(sample.episodes["return"])
        for name, values in sample.episodes.items():
            if name not in ("step", "instance", "episode", "truncated"):
                kept = [*self.recent.get(name, []), *values.tolist()]
                self.recent[name] = kept[-RECENT:]

    def mean(self, name: str, num_episodes: int = RECENT) -> float:
        """Return the mean of a figure over the last episodes; NaN before the first ended."""
        values = self.recent.get(name, [])[-num_episodes:]
        return float(np.mean(values)) if values else float("nan")

    def mark_learned(self, num_instances: int) -> None:
        """Note that the task is learned now."""
        attempts = self.attempts(num_instances)
        self.learned = {"attempts": attempts, "steps": self.steps, "wall_s": self.wall_s}

    @property
    def dropped_steps(self) -> int:
        """Steps that were sampled and neither learned from nor kept for it."""
        return self.sampled - self.steps - self.waiting

    @property
    def dropped(self) -> dict[str, int]:
        """The dropped steps by reason."""
        reasons = {"worker died": self.lost, "unknown": self.dropped_steps - self.lost}
        return {reason: count for reason, count in reasons.items() if count}

    def attempts(self, num_instances: int) -> int:
        """Return how many episodes have begun."""
        return self.episodes + self.abandoned + num_instances

    def row(self, num_instances: int) -> dict[str, float]:
        """Return the figures that a run records for each update, by name."""
        means = {n: self.mean(n) for n in self.recent if n not in ("return", "length")}
        return {
            "update": self.updates,
            "steps": self.steps,
            "wall_s": self.wall_s,
            "steps_per_s": self.steps / self.wall_s if self.wall_s else 0.0,
            "mean_return": self.mean("return"),
            "mean_length": self.mean("length"),
            "episodes": self.episodes,
            "attempts": self.attempts(num_instances),
            **means,
            "faults": self.faults,
            "lag": self.lag,
            "late_steps": self.late,
            "dropped_steps": self.dropped_steps,
            "learned": float(bool(self.learned)),
        }

    def fulfils(self, stop: StopSettings) -> bool:
        """Return whether a stop condition holds; not before the first episodes ended."""
        value = self.row(0).get(stop.metric, float("nan"))
        return value >= stop.value if stop.bound == "at-least" else value <= stop.value

    def reason_to_stop(self, experiment: Experiment, *, is_interrupted: bool) -> str:
        """Return which of a run's stop conditions holds; "" if none does."""
        if is_interrupted:
            return "interrupted"
        if self.steps >= experiment.steps:
            return "steps"
        if experiment.wall_time and self.wall_s * NANOSECONDS["s"] >= experiment.wall_time:
            return "wall_time"
        if experiment.stop is not None and self.fulfils(experiment.stop):
            return "stop.metric"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Return the progress of plain values."""
        return cls(**values)
