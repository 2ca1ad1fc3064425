"""What all workers on Ray have in common, whoever waits for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.episodes import Backlog
from troupe.experiments.schema import Experiment
from troupe.fleet.actor import Snapshot
from troupe.fleet.actors import Actors
from troupe.fleet.division import owners
from troupe.fleet.journal import Journal


class RayWorkers:
    """Actors whose answers a run keeps in a journal; subclasses say how they are asked."""

    def __init__(self, experiment: Experiment) -> None:
        """Let the actors start; `start` waits for them.

        Raises:
            UserError: if anything is wrong with the experiment, or with Ray.
        """
        self._actors = Actors(experiment)
        self.observation_spec = self._actors.observation_spec
        self.action_spec = self._actors.action_spec
        self.metric_names = self._actors.metric_names
        self.backlog = Backlog()
        self.arrived = 0
        self.lost = 0
        self._journal = Journal()

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        self._actors.start(noise_size)

    def owners(self, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the worker that steps each instance, by global id."""
        return owners(self._actors.ranges, instances)

    def follow(self, journal: Journal) -> None:
        """Sample first what a journal holds, and keep there what arrives from now on."""
        self._journal = journal
        if journal.arrivals:
            self._actors.restore_arrived(journal.arrivals)

    def notices(self) -> list[str]:
        """Return what a run's log should say, each line once."""
        return self._actors.take_notices()

    def processes(self) -> list[dict[str, Any]]:
        """Return where each worker's process runs."""
        return self._actors.processes()

    def snapshot(self) -> Snapshot:
        """Return the state of all instances after the last steps that arrived, by global id."""
        return self._actors.snapshot()

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, also of another number of workers."""
        self._actors.restore(snapshot)

    def close(self) -> None:
        """End the actors, and Ray if it was started here."""
        self._actors.close()
