"""Writers of one store, killed at random and begun again, beside readers and a compactor.

``python -m benchmarks.store_storm URL FOLDER --writers 8 --kills 100`` prints one JSON object. The
store at the URL is made; what the processes say to each other is in the folder. All of them are
forked, since starting Python anew for each death would take a second, and killed by SIGKILL.

An episode follows from its writer's and its own number, so that whoever sees it knows whether it is
whole. A writer adds its episodes in order and notes how many the store has acknowledged. Readers
look again and again; each look compares all steps that it sees, and one episode with its images.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from troupe.episodes.store import (
    EpisodeRecord,
    StoreSchema,
    StoreWriter,
    compact,
    create_store,
    open_store,
    verify,
)
from troupe.episodes.store.loader import batches

SHARD_EPISODES, FLUSH_EVERY = 3, 4
SHARD_BYTES = 200_000
"""Of a shard that is not joined any more."""
COMPACTOR_DIES = 1 / 6
"""As likely, whenever a writer is killed."""


@dataclass(frozen=True)
class Storm:
    """What is done.

    Attributes:
        url: of the store.
        folder: of what the processes tell each other, and of the spool.
        writers: at a time.
        readers: at a time.
        kills: of writers.
        every_s: a kill, on average.
        grace_s: how long the compactor keeps what it replaced.
        seed: of who is killed when.
    """

    url: str
    folder: Path
    writers: int
    readers: int
    kills: int
    every_s: float
    grace_s: float
    seed: int

    @property
    def over(self) -> Path:
        """The file that ends it."""
        return self.folder / "over"


def main() -> None:
    """Let it storm and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("url")
    add("folder", type=Path)
    add("--writers", type=int, default=8)
    add("--readers", type=int, default=2)
    add("--kills", type=int, default=100)
    add("--every-s", type=float, default=0.5)
    add("--grace-s", type=float, default=30.0)
    add("--seed", type=int, default=0)
    storm = Storm(**vars(parser.parse_args()))
    storm.folder.mkdir(parents=True, exist_ok=True)
    for name in ("duckdb", "pyarrow.parquet", "PIL.PngImagePlugin", "s3fs"):
        importlib.import_module(name)  # once, rather than in each process
    reap(fork(make, storm), 0)
    began_s = time.monotonic()
    killed = rage(storm)
    killed["seconds"] = round(time.monotonic() - began_s, 1)
    reap(fork(conclude, storm, killed), 0)
    print((storm.folder / "found.json").read_text())


def rage(storm: Storm) -> dict[str, Any]:
    """Kill and start again until there were enough kills; return how many and whom."""
    rng = random.Random(storm.seed)
    jobs: list[tuple[Callable[..., None], int]] = [(write, k) for k in range(storm.writers)]
    jobs += [(read, k) for k in range(storm.readers)]
    jobs.append((join, 0))
    compactor = len(jobs) - 1
    running = {fork(job, storm, number): at for at, (job, number) in enumerate(jobs)}
    kills = dict.fromkeys(range(len(jobs)), 0)
    try:
        while sum(kills[k] for k in range(storm.writers)) < storm.kills:
            time.sleep(rng.uniform(0, 2 * storm.every_s))
            victims = [rng.randrange(storm.writers)]
            if rng.random() < COMPACTOR_DIES:
                victims.append(compactor)
            pids = {at: pid for pid, at in running.items()}
            for at in victims:
                os.kill(pids[at], signal.SIGKILL)
                reap(pids[at], -signal.SIGKILL)
                del running[pids[at]]
                job, number = jobs[at]
                running[fork(job, storm, number)] = at
                kills[at] += 1
            for pid in list(running):
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    job, number = jobs[running.pop(pid)]
                    raise SystemExit(f"{job.__name__} {number} ended by itself")
        storm.over.touch()
        for pid in list(running):
            del running[pid]
            reap(pid, 0)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
    of_writers = [kills[k] for k in range(storm.writers)]
    return {"kills": sum(of_writers), "of_writers": of_writers, "of_compactor": kills[compactor]}


def fork(job: Callable[..., None], storm: Storm, *arguments: Any) -> int:
    """Return the process that does a job."""
    pid = os.fork()
    if pid:
        return pid
    try:
        job(storm, *arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.stderr.flush()
    os._exit(0)


def reap(pid: int, expected: int) -> None:
    """Wait until a process has ended as it should."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != expected:
        raise SystemExit(f"a process ended with {code}, not {expected}")


def episode(writer: int, number: int) -> EpisodeRecord:
    """Return an episode that its numbers decide."""
    rng = np.random.default_rng([writer, number])
    num_steps = 2 + number % 7
    return EpisodeRecord(
        id=f"w{writer}-{number}",
        about={"writer": writer, "number": number},
        draws={"mass": number / 7},
        steps={
            "action": rng.normal(size=(num_steps, 3)).astype(np.float32),
            "reward": rng.integers(0, 1000, num_steps).astype(np.float32),
        },
        images={"top.rgb": rng.integers(0, 255, (1, 16, 16, 3), np.uint8)},
        frames={"top.rgb": np.array([num_steps - 1])},
    )


def make(storm: Storm) -> None:
    create_store(storm.url, StoreSchema.of(episode(0, 0)))


def write(storm: Storm, writer: int) -> None:
    """Add episodes and note how many were acknowledged, until it is over."""
    known = acknowledged(storm)[writer]
    place = {"shard_episodes": SHARD_EPISODES, "spool": storm.folder / "spool"}
    with StoreWriter(open_store(storm.url), f"w{writer}", **place) as out:  # type: ignore[arg-type]
        for number in count(max(0, known - FLUSH_EVERY)):
            is_new = out.add(episode(writer, number))
            if is_new and number < known:
                raise SystemExit(f"w{writer}-{number} was acknowledged, and is not known any more")
            if (number + 1) % FLUSH_EVERY:
                continue
            out.flush()
            append(storm.folder / f"acknowledged-{writer}", str(number + 1))
            if storm.over.exists():
                return


def join(storm: Storm, _: int) -> None:
    while not storm.over.exists():
        compact(open_store(storm.url), target_bytes=SHARD_BYTES, grace_s=storm.grace_s)


def read(storm: Storm, reader: int) -> None:
    """Look at all there is, again and again, and note what is wrong."""
    rng = random.Random(reader)
    while not storm.over.exists():
        try:
            found = look(storm, rng)
        except Exception as error:  # what a user of the store would get
            found = {"episodes": 0, "wrong": [f"{type(error).__name__}: {error}"]}
        append(storm.folder / f"looks-{reader}", json.dumps(found))


def look(storm: Storm, rng: random.Random) -> dict[str, Any]:
    """Return how many episodes are seen, and what is wrong with them."""
    before = {
        f"w{writer}-{number}"
        for writer, number_there in enumerate(acknowledged(storm))
        for number in range(number_there)
    }
    store = open_store(storm.url)
    ids = store.query("SELECT id FROM episodes")["id"].to_pylist()
    wrong = [f"lost {id}" for id in before.difference(ids)]
    wrong += [f"{times} times {id}" for id, times in Counter(ids).items() if times > 1]
    steps = store.query("SELECT id, count(*) AS n, sum(reward) AS reward FROM steps GROUP BY id")
    for row in steps.to_pylist():
        expected = episode_of(row["id"]).steps["reward"]
        if (row["n"], row["reward"]) != (len(expected), expected.sum()):
            wrong.append(f"torn {row['id']}")
    if ids:
        id = rng.choice(ids)
        wrong += [f"torn {id}: {name}" for name in differences(store.episode(id))]
    return {"episodes": len(ids), "wrong": wrong}


def differences(found: EpisodeRecord) -> Iterator[str]:
    """Return what an episode has otherwise than it should."""
    expected = episode_of(found.id)
    for kind in ("about", "draws"):
        if getattr(found, kind) != getattr(expected, kind):
            yield kind
    for kind in ("steps", "images", "frames"):
        for name, values in getattr(expected, kind).items():
            if not np.array_equal(getattr(found, kind)[name], values):
                yield f"{kind}.{name}"


def episode_of(id: str) -> EpisodeRecord:
    writer, number = id.removeprefix("w").split("-")
    return episode(int(writer), int(number))


def conclude(storm: Storm, killed: dict[str, Any]) -> None:
    """Compare all that is there in the end with all that was acknowledged."""
    store = open_store(storm.url)
    counts = acknowledged(storm)
    expected = {f"w{w}-{n}" for w, number_there in enumerate(counts) for n in range(number_there)}
    ids = store.query("SELECT id FROM episodes")["id"].to_pylist()
    rewards: dict[str, list[float]] = {}
    for batch in batches(store, ["id", "step.reward"], 4096, seed=None):
        for id, reward in zip(batch["id"], batch["step.reward"], strict=True):
            rewards.setdefault(id, []).append(float(reward))
    torn = [id for id in ids if rewards.get(id) != episode_of(id).steps["reward"].tolist()]
    for batch in batches(store, ["id", "image.top.rgb"], 1024, seed=None):
        for id, image in zip(batch["id"], batch["image.top.rgb"], strict=True):
            if not np.array_equal(image, episode_of(id).images["top.rgb"][0]):
                torn.append(id)
    looks = [
        json.loads(line)
        for reader in range(storm.readers)
        for line in lines(storm.folder / f"looks-{reader}")
    ]
    checked = asdict(verify(store))
    found = {
        **killed,
        "acknowledged": len(expected),
        "lost": sorted(expected.difference(ids)),
        "twice": sorted(id for id, times in Counter(ids).items() if times > 1),
        "torn": torn,
        "never_acknowledged": len(set(ids) - expected),
        "looks": len(looks),
        "episodes_seen": sum(found["episodes"] for found in looks),
        "wrong_looks": [wrong for found in looks for wrong in found["wrong"]],
        "spool_files_left": sum(
            file.name != "lock" for file in (storm.folder / "spool").rglob("*") if file.is_file()
        ),
        "verification": {**checked, "unfinished": len(checked["unfinished"])},
    }
    (storm.folder / "found.json").write_text(json.dumps(found))


def acknowledged(storm: Storm) -> list[int]:
    """Return how many episodes of each writer the store has acknowledged."""
    files = [storm.folder / f"acknowledged-{writer}" for writer in range(storm.writers)]
    return [max(map(int, lines(file)), default=0) for file in files]


def append(file: Path, line: str) -> None:
    """Add a line in one piece, however soon the process is killed."""
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, f"{line}\n".encode())
    os.close(out)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    main()
