"""A worker that collects: a collector and a writer to the store, in a process of their own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from troupe.episodes.store import EpisodeRecord, StoreWriter, open_store
from troupe.episodes.store.writer import NotAcknowledgedError
from troupe.experiments.load import Description, build_experiment
from troupe.fleet.collecting.collector import Collector
from troupe.fleet.collecting.policies import open_policy
from troupe.fleet.whereabouts import Whereabout, here

ACKNOWLEDGED_WITHIN_S = 10.0
"""After which a worker says so, and goes on while the spool has room."""


@dataclass(frozen=True)
class Share:
    """What one worker collects.

    Attributes:
        number: of the worker.
        first_instance: global id.
        num_instances: how many.
        num_threads: native threads; 0 for one a core.
        slowdown: factor on the engines' declared step time.
    """

    number: int
    first_instance: int
    num_instances: int
    num_threads: int = 0
    slowdown: float = 1.0


@dataclass(frozen=True)
class Collected:
    """What a worker has collected and the store has acknowledged, since it was last asked.

    Attributes:
        episodes: that are new in the store.
        successes: of these, by the task's metric of that name.
        waiting: episodes that the store has not acknowledged yet.
        notices: what the writer has to say, in lines.
        steps: of all instances, those of unfinished episodes included.
        wall_s: that it took.
        stepping_s: of it, in engines and task.
        writing_s: of it, handing episodes to the writer and waiting for the store.
        late_s: by how much it fell behind its pace for good, where there is one.
    """

    episodes: int
    successes: float
    waiting: int
    notices: tuple[str, ...]
    steps: int
    wall_s: float
    stepping_s: float
    writing_s: float
    late_s: float


class CollectWorker:
    """Collects episodes of its instances; one that replaces it goes on where the store ends."""

    def __init__(
        self,
        description: Description,
        policy: str,
        store: str,
        share: Share,
        *,
        pace: float = 0.0,
        spool: Path | None = None,
    ) -> None:
        """Build the instances, and find out which episodes are there.

        Args:
            description: the resolved experiment, as plain values.
            policy: as `open_policy` takes it.
            store: URL of the store, which exists.
            share: what this worker collects.
            pace: simulated seconds for each second; 0 for as fast as it goes.
            spool: folder where shards wait for the store.
        """
        experiment = build_experiment(description)
        self._store = opened = open_store(store)
        self._notices: list[str] = []
        self._waiting, self._successes_waiting = 0, 0.0
        self._is_away = False
        name = f"{experiment.name}-{experiment.seed}-{share.number}"
        self._writer = StoreWriter(opened, name, spool=spool, report=self._notices.append)
        known = {*opened.episode_ids(), *self._writer.known}
        self._collector = Collector(
            experiment,
            open_policy(policy, experiment),
            share.first_instance,
            share.num_instances,
            num_threads=share.num_threads,
            next_episodes=next_episodes(known, experiment.name, experiment.seed, share),
            slowdown=share.slowdown,
        )
        self._collector.begin()
        self._episodes: Iterator[EpisodeRecord] = self._collector.run(pace)

    def whereabout(self) -> Whereabout:
        """Return the host and the id of the process."""
        return here()

    def collect(self, num_episodes: int) -> Collected:
        """Collect episodes, and return when the store has them, or does not answer.

        Args:
            num_episodes: to collect; 0 to see whether the store has those that wait.
        """
        collector = self._collector
        began, stepped_s = time.perf_counter(), collector.stepping_s
        steps, late_s, writing_s = collector.steps, collector.late_s, 0.0
        until = self._waiting + num_episodes
        while self._waiting < until:
            record = next(self._episodes)
            added = time.perf_counter()
            if self._writer.add(record):
                self._waiting += 1
                self._successes_waiting += record.about.get("success", 0.0)
            writing_s += time.perf_counter() - added
        flushing = time.perf_counter()
        episodes, successes = 0, 0.0
        if self._is_acknowledged():
            episodes, successes = self._waiting, self._successes_waiting
            self._waiting, self._successes_waiting = 0, 0.0
            self._is_away = False
        writing_s += time.perf_counter() - flushing
        notices, self._notices[:] = tuple(self._notices), []
        return Collected(
            episodes,
            successes,
            self._waiting,
            notices,
            collector.steps - steps,
            time.perf_counter() - began,
            collector.stepping_s - stepped_s,
            writing_s,
            collector.late_s - late_s,
        )

    def close(self) -> None:
        """Close engines and writer.

        Raises:
            NotAcknowledgedError: if the store does not answer; what waits is for the next writer
                on this machine.
        """
        try:
            self._collector.close()
        finally:
            self._writer.close(ACKNOWLEDGED_WITHIN_S)

    def _is_acknowledged(self) -> bool:
        """Return whether the store has all that was collected, as soon as it has."""
        try:
            self._writer.flush(ACKNOWLEDGED_WITHIN_S)
        except NotAcknowledgedError:
            if not self._is_away:
                self._notices.append(
                    f"store '{self._store.url}' has not acknowledged {self._waiting} episodes for "
                    f"{ACKNOWLEDGED_WITHIN_S:.0f} s; they wait on this machine"
                )
            self._is_away = True
            return False
        return True


def next_episodes(
    known: Iterable[str], name: str, seed: int, share: Share
) -> npt.NDArray[np.int64]:
    """Return the numbers of the episodes that come next in a worker's instances, (N,).

    Args:
        known: ids of the episodes that are there; those that others gave do not count.
        name: of the experiment.
        seed: the root seed.
        share: the worker's.
    """
    following = np.zeros(share.num_instances, np.int64)
    numbered = re.compile(re.escape(f"{name}-{seed}-") + r"(\d+)-(\d+)")
    for id in known:
        if found := numbered.fullmatch(id):
            instance, episode = map(int, found.groups())
            own = instance - share.first_instance
            if 0 <= own < share.num_instances:
                following[own] = max(following[own], episode + 1)
    return following
