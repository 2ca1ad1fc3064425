"""Writers and a compactor, killed at random, each begun again until it gets through.

Forks, since starting Python anew for each death would take a second. While they die, a reader
checks that each episode that was acknowledged is there exactly once.
"""

import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

from tests.episodes.store.conftest import made
from troupe.episodes.store import StoreWriter, compact, open_store

NUM_WRITERS, NUM_EPISODES, FLUSH_EVERY = 3, 100, 4
DEATHS = 8
"""Of each writer at most, and lives of the compactor."""
LONGEST_LIFE_S = 0.2
GRACE_S = 3.0


def write(url: str, folder: Path, number: int) -> None:
    store = open_store(url)
    with StoreWriter(store, f"w{number}", shard_episodes=3, spool=folder / "spool") as writer:
        for episode in range(NUM_EPISODES):
            writer.add(made(episode, prefix=f"w{number}"))
            if (episode + 1) % FLUSH_EVERY == 0:
                writer.flush()
                acknowledge(folder, number, episode + 1)


def acknowledge(folder: Path, number: int, episodes: int) -> None:
    file = os.open(folder / f"acks-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{episodes}\n".encode())
    os.close(file)


def acknowledged(folder: Path) -> set[str]:
    ids = set()
    for number in range(NUM_WRITERS):
        file = folder / f"acks-{number}"
        most = max(map(int, file.read_text().split()), default=0) if file.exists() else 0
        ids |= {f"w{number}-{episode}" for episode in range(most)}
    return ids


def check(url: str, folder: Path) -> None:
    before = acknowledged(folder)
    found = open_store(url).query("SELECT id FROM episodes")["id"].to_pylist()
    twice = [id for id, times in Counter(found).items() if times > 1]
    assert not twice, twice
    assert before <= set(found), before - set(found)


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    rng = random.Random(0)
    jobs = [lambda n=number: write(url, folder, n) for number in range(NUM_WRITERS)]
    jobs.append(lambda: compact(open_store(url), target_bytes=100_000, grace_s=GRACE_S))
    deaths = [0] * len(jobs)
    running: dict[int, int] = {}
    waiting = list(range(len(jobs)))
    while waiting or running:
        for job in waiting:
            dies_s = rng.uniform(0.001, LONGEST_LIFE_S) if deaths[job] < DEATHS else 0.0
            pid = os.fork()
            if pid == 0:
                signal.setitimer(signal.ITIMER_REAL, dies_s)  # whose signal ends it at once
                jobs[job]()
                os._exit(0)
            running[pid] = job
        pid, status = os.wait()
        job = running.pop(pid)
        if status not in (0, signal.SIGALRM):
            raise SystemExit(f"job {job} ended with {status}")
        is_dead = status != 0
        deaths[job] += is_dead or job == NUM_WRITERS  # which ends soon if there is little to join
        waiting = [job] if deaths[job] <= DEATHS and (is_dead or job == NUM_WRITERS) else []
        check(url, folder)
    print(json.dumps({"deaths": deaths}))


if __name__ == "__main__":
    main()
