"""Workers on Ray that collect, each at its own pace, replaced when they die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray

from troupe.experiments.load import Description
from troupe.experiments.schema import FleetSettings
from troupe.fleet.actors import LOST
from troupe.fleet.cluster import connect, disconnect
from troupe.fleet.collecting.crew import Progress, gave_up, next_request
from troupe.fleet.collecting.worker import Collected, CollectWorker, Share
from troupe.fleet.nodes import check_versions, share_of_cores, wait_for_places

MAX_RESTARTS_IN_A_ROW = 5
LOOK_EVERY_S = 0.5


class RayCrew:
    """Workers that are asked for some episodes at a time, and never wait for each other."""

    def __init__(
        self,
        fleet: FleetSettings,
        given: tuple[Description, str, str],
        shares: Sequence[Share],
        pace: float,
        spool: Path | None,
        report: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        """Connect to Ray and let the workers start.

        Args:
            fleet: says where.
            given: what `CollectWorker` takes first.
            shares: one for each worker.
            pace: simulated seconds for each second.
            spool: folder where shards wait for the store.
            report: called with the progress.
            say: called with a line when something happens.

        Raises:
            UserError: if the address does not answer, or the cluster has no place for them.
        """
        self._given, self._shares = given, shares
        self._options = {"pace": pace, "spool": spool}
        self._report, self._say = report, say
        self._started_ray = connect(fleet.address)
        self._workers: list[Any] = []
        try:
            if not self._started_ray:
                check_versions()
            self._cores = share_of_cores(len(shares))
            wait_for_places(self._cores, len(shares), "workers")
        except BaseException:
            self.close()
            raise
        self._workers = [self._start(share) for share in shares]

    def collect(self, progress: Progress, stop: threading.Event) -> None:
        """Collect until as many episodes are there as were asked for, or a stop is requested."""
        failures = [0] * len(self._shares)
        waiting = [0] * len(self._shares)
        asked: dict[Any, tuple[int, int]] = {}
        under_way = 0
        while progress.there < progress.episodes:
            # ask whoever has nothing to do
            busy = {number for number, _ in asked.values()}
            for number in set(range(len(self._workers))) - busy:
                left = max(0, progress.episodes - progress.there - under_way - sum(waiting))
                if (left or waiting[number]) and not stop.is_set():
                    request = next_request(left, len(self._workers))
                    reference = self._workers[number].collect.remote(request)
                    asked[reference] = number, request
                    under_way += request
            if not asked:
                return
            # take what is there
            done, _ = ray.wait(list(asked), num_returns=1, timeout=LOOK_EVERY_S)
            for reference in done:
                number, request = asked.pop(reference)
                under_way -= request
                try:
                    collected: Collected = ray.get(reference)
                    progress.add(collected)
                    failures[number], waiting[number] = 0, collected.waiting
                    for line in collected.notices:
                        self._say(f"worker {number}: {line}")
                except LOST:
                    progress.restarts += 1
                    failures[number] += 1
                    waiting[number] = 0
                    if failures[number] > MAX_RESTARTS_IN_A_ROW:
                        raise gave_up(number, failures[number]) from None
                    self._say(f"worker {number} died; its successor goes on after the last episode")
                    self._workers[number] = self._start(self._shares[number])
            if done:
                self._report(progress)

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        for worker in self._workers:
            ray.kill(worker)
        self._workers = []
        if self._started_ray:
            disconnect()
            self._started_ray = False

    def _start(self, share: Share) -> Any:
        kind: Any = ray.remote(num_cpus=self._cores)(CollectWorker)
        return kind.remote(*self._given, share, **self._options)
