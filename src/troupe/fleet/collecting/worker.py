"""A worker that collects: a collector and a writer to the store, in a process of their own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from troupe.episodes.store import EpisodeRecord, StoreWriter, open_store
from troupe.experiments.load import Description, build_experiment
from troupe.fleet.collecting.collector import Collector
from troupe.fleet.collecting.policies import open_policy
from troupe.fleet.whereabouts import Whereabout, here


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
        steps: of all instances, those of unfinished episodes included.
        wall_s: that it took.
        stepping_s: of it, in engines and task.
        writing_s: of it, handing episodes to the writer and waiting for the store.
        late_s: by how much it fell behind its pace for good, where there is one.
    """

    episodes: int
    successes: float
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
        opened = open_store(store)
        self.notices: list[str] = []
        name = f"{experiment.name}-{experiment.seed}-{share.number}"
        self._writer = StoreWriter(opened, name, spool=spool, report=self.notices.append)
        self._collector = Collector(
            experiment,
            open_policy(policy, experiment),
            share.first_instance,
            share.num_instances,
            num_threads=share.num_threads,
            next_episodes=next_episodes(
                opened.episode_ids(), experiment.name, experiment.seed, share
            ),
            slowdown=share.slowdown,
        )
        self._collector.begin()
        self._episodes: Iterator[EpisodeRecord] = self._collector.run(pace)

    def whereabout(self) -> Whereabout:
        """Return the host and the id of the process."""
        return here()

    def collect(self, num_episodes: int) -> Collected:
        """Collect episodes, and return when the store has them."""
        collector = self._collector
        began, stepped_s = time.perf_counter(), collector.stepping_s
        steps, late_s, writing_s = collector.steps, collector.late_s, 0.0
        episodes, successes = 0, 0.0
        while episodes < num_episodes:
            record = next(self._episodes)
            added = time.perf_counter()
            episodes += self._writer.add(record)
            writing_s += time.perf_counter() - added
            successes += record.about.get("success", 0.0)
        flushing = time.perf_counter()
        self._writer.flush()
        writing_s += time.perf_counter() - flushing
        return Collected(
            episodes,
            successes,
            collector.steps - steps,
            time.perf_counter() - began,
            collector.stepping_s - stepped_s,
            writing_s,
            collector.late_s - late_s,
        )

    def take_notices(self) -> list[str]:
        """Return what the writer has to say, each line once."""
        taken, self.notices[:] = list(self.notices), []
        return taken

    def close(self) -> None:
        """Close engines and writer."""
        self._collector.close()
        self._writer.close()


def next_episodes(
    known: Iterable[str], name: str, seed: int, share: Share
) -> npt.NDArray[np.int64]:
    """Return the numbers of the episodes that come next in a worker's instances, (N,).

    Args:
        known: ids of the episodes that are there.
        name: of the experiment.
        seed: the root seed.
        share: the worker's.
    """
    following = np.zeros(share.num_instances, np.int64)
    prefix = f"{name}-{seed}-"
    for id in known:
        if id.startswith(prefix):
            instance, episode = map(int, id.removeprefix(prefix).split("-"))
            own = instance - share.first_instance
            if 0 <= own < share.num_instances:
                following[own] = max(following[own], episode + 1)
    return following
