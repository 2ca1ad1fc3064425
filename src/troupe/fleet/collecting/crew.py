"""All who collect for a store: this process, or workers on Ray that nobody waits for."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from troupe.core.errors import InterruptedRun, TroupeError
from troupe.episodes.store import StoreSchema, create_store, open_store
from troupe.experiments.schema import Experiment
from troupe.fleet.collecting.collector import Collector
from troupe.fleet.collecting.configs import keep_config
from troupe.fleet.collecting.policies import for_any_directory, open_policy
from troupe.fleet.collecting.worker import Collected, CollectWorker, Share
from troupe.fleet.division import check_division, divide
from troupe.fleet.signals import stopping_on_signals

MOST_AT_ONCE = 256
LEAST_AT_ONCE = 8
"""Episodes that a worker is asked for at a time; after them the store has acknowledged them."""


@dataclass
class Progress:
    """How far collecting is.

    Attributes:
        episodes: asked for.
        there: that the store has acknowledged.
        successes: of those.
        steps: of all instances.
        wall_s: since the first step.
        stepping_s: summed over workers, in engines and task.
        working_s: summed over workers, in all.
        late_s: summed over workers, by how much they fell behind their pace for good.
        restarts: workers that died and were replaced.
    """

    episodes: int
    there: int = 0
    successes: float = 0.0
    steps: int = 0
    wall_s: float = 0.0
    stepping_s: float = 0.0
    working_s: float = 0.0
    late_s: float = 0.0
    restarts: int = 0
    began_s: float = field(default_factory=time.monotonic, repr=False)

    def add(self, collected: Collected) -> None:
        """Count what a worker has brought."""
        self.there += collected.episodes
        self.successes += collected.successes
        self.steps += collected.steps
        self.stepping_s += collected.stepping_s
        self.working_s += collected.wall_s
        self.late_s += collected.late_s
        self.wall_s = time.monotonic() - self.began_s

    def summary(self) -> dict[str, Any]:
        """Return the figures, as plain values."""
        return {
            "episodes": self.there,
            "success_rate": self.successes / max(1, self.there),
            "steps": self.steps,
            "wall_s": self.wall_s,
            "episodes_per_hour": 3600 * self.there / self.wall_s if self.wall_s else 0.0,
            "stepping_share": self.stepping_s / self.working_s if self.working_s else 0.0,
            "late_s": self.late_s,
            "worker_restarts": self.restarts,
        }


class Crew(Protocol):
    """Who collects."""

    def collect(self, progress: Progress, stop: threading.Event) -> None:
        """Collect until as many episodes are there as were asked for, or a stop is requested."""

    def close(self) -> None:
        """Release everything."""


def collect(
    experiment: Experiment,
    url: str,
    num_episodes: int,
    *,
    policy: str = "random",
    pace: float = 0.0,
    spool: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Collect episodes of a policy into a store, and return the figures.

    With the same seed it goes on after the last episode of each instance that is there.

    Args:
        experiment: with a task; ``fleet`` says how many instances, and on how many workers.
        url: of the store; made if there is none.
        num_episodes: to add to it.
        policy: as `open_policy` takes it.
        pace: simulated seconds for each second; 0 for as fast as it goes.
        spool: folder where episodes wait while the store does not answer.
        report: called now and then with the progress.
        say: called with a line when something happens.

    Raises:
        UserError: if anything is wrong with what was given; nothing is collected then.
        InterruptedRun: if a signal ended it; the store has all that was acknowledged.
    """
    check_division(experiment.fleet)
    _prepare_store(experiment, url, policy)
    progress = Progress(num_episodes)
    stop = threading.Event()
    crew = _make_crew(experiment, url, for_any_directory(policy), pace, spool, report, say)
    try:
        with stopping_on_signals(stop):
            progress.began_s = time.monotonic()
            crew.collect(progress, stop)
    finally:
        crew.close()
    summary = {"store": open_store(url).url, "experiment": experiment.name, **progress.summary()}
    if progress.there < num_episodes:
        raise InterruptedRun(
            f"stopped after {progress.there} of {num_episodes} episodes; all of them are in the "
            f"store, and the same command goes on after them."
        )
    return summary


def _prepare_store(experiment: Experiment, url: str, policy: str) -> None:
    """Make the store, or check that the episodes fit the one that is there."""
    example = Collector(experiment, open_policy(policy, experiment), 0, 1, num_threads=1)
    schema = StoreSchema.of(example.example())
    example.close()
    keep_config(create_store(url, schema, created_by=experiment.name), experiment)


def _make_crew(
    experiment: Experiment,
    url: str,
    policy: str,
    pace: float,
    spool: Path | None,
    report: Callable[[Progress], None],
    say: Callable[[str], None],
) -> Crew:
    fleet, given = experiment.fleet, (experiment.resolved(), policy, url)
    if fleet.workers == 0:
        share = Share(0, 0, fleet.instances)
        return Alone(CollectWorker(*given, share, pace=pace, spool=spool), report, say)
    from troupe.fleet.collecting.ray_crew import RayCrew

    shares = [
        Share(number, first, last - first, 1, fleet.slow_workers.get(number, 1.0))
        for number, (first, last) in enumerate(divide(fleet.instances, fleet.workers))
    ]
    return RayCrew(fleet, given, shares, pace, spool, report, say)


class Alone:
    """Collects in this process."""

    def __init__(
        self,
        worker: CollectWorker,
        report: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self._worker, self._report, self._say = worker, report, say

    def collect(self, progress: Progress, stop: threading.Event) -> None:
        """Collect until as many episodes are there as were asked for, or a stop is requested."""
        waiting = 0
        while progress.there < progress.episodes and not stop.is_set():
            left = max(0, progress.episodes - progress.there - waiting)
            collected = self._worker.collect(next_request(left, 1))
            waiting = collected.waiting
            progress.add(collected)
            for line in collected.notices:
                self._say(line)
            if collected.episodes:
                self._report(progress)

    def close(self) -> None:
        """Close engines and writer."""
        self._worker.close()


def next_request(num_left: int, workers: int) -> int:
    """Return how many of the episodes that nobody was asked for yet a worker is to collect."""
    share = num_left if workers == 1 else max(LEAST_AT_ONCE, math.ceil(num_left / (2 * workers)))
    return min(MOST_AT_ONCE, share, num_left)


def gave_up(number: int, times: int) -> TroupeError:
    """Return the error for a worker that dies again and again."""
    return TroupeError(f"worker {number} died {times} times in a row without an episode.")
