"""Policies from stored episodes of which most are random: cloning, and implicit Q-learning.

70 % of the episodes are of a policy that acts at random, 30 % of one that has been trained. All
contenders learn from the same store, each with several seeds; the return is that of the
deterministic policy over 100 new episodes.
"""

from __future__ import annotations

import shutil
import statistics
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Json, Options, Records, Spread, Table, progress, short, train, troupe
from troupe.episodes.store import open_store

TEACHERS: dict[str, tuple[str, dict[str, Any]]] = {
    # the experiment that trains who acts well, and what is changed in it
    "pendulum": ("pendulum-sac", {"steps": 5000}),
    "scara-reach": ("scara-reach", {"steps": 400_000}),
}
CONTENDERS: dict[str, dict[str, Any]] = {
    "bc": {"learner.type": "bc"},
    "bc, weighting return": {"learner.type": "bc", "learner.weighting.type": "return"},
    "iql": {"learner.type": "iql"},
    "iql, inverse_temperature 10": {"learner.type": "iql", "learner.inverse_temperature": 10},
}
SEEDS = (0, 1, 2)
RANDOM_EPISODES, TRAINED_EPISODES, INSTANCES = 140, 60, 10
GRADIENT_STEPS = 10_000
QUICK_STEPS = 400


def run(options: Options) -> None:
    """Measure what is not there yet, and write the result."""
    records = Records("offline", options)
    seeds = options.choose(SEEDS, (0,), options.seeds)
    rows = []
    for task in options.parts(tuple(TEACHERS), ("pendulum",)):
        store = options.out / "offline" / f"{task}-store"
        behaviour = records.get(f"{task}, stored", partial(collect, task, store, options))
        for name, settings in CONTENDERS.items():
            found = [
                records.get(
                    f"{task}, {name}, seed {seed}",
                    partial(learn, task, store, settings, seed, options),
                )
                for seed in seeds
            ]
            rows.append(row(task, name, behaviour, found))
    header = ["task", "learner", "stored: random", "trained", "all", "return", "better than stored"]
    header += ["gradient steps/s", "s"]
    table = Table("Learned from 70 % random and 30 % trained episodes", header, rows)
    print(table)
    records.write([table])


def collect(task: str, store: Path, options: Options) -> Json:
    """Train a teacher, collect the episodes, and return the mean returns in the store."""
    source, settings = TEACHERS[task]
    teacher = options.out / "offline" / f"{task}-teacher"
    if options.quick:
        settings = {**settings, "steps": min(settings["steps"], 20_000) // 5}
    train([source], teacher, settings).run()
    shutil.rmtree(store, ignore_errors=True)
    share = options.choose(1, 5)
    for policy, episodes, seed in (
        ("random", RANDOM_EPISODES, 0),
        (str(teacher), TRAINED_EPISODES, 1),
    ):
        given = {"episodes": episodes // share, "instances": INSTANCES, "seed": seed}
        words = [text for key, value in given.items() for text in (f"--{key}", str(value))]
        observing = ["--set", "collect.observations=true"]
        words += ["--policy", policy, "--store", str(store), "--json", *observing]
        troupe("collect", task, *words).run()
    returns = open_store(store).query(
        'SELECT avg("return") AS "all", avg("return") FILTER (policy_version = 0) AS random, '
        'avg("return") FILTER (policy_version > 0) AS trained FROM episodes'
    )
    found: Json = returns.to_pylist()[0]
    progress(f"  stored: {found}")
    return found


def learn(task: str, store: Path, settings: dict[str, Any], seed: int, options: Options) -> Json:
    """Learn from the store and return the figures."""
    steps = options.choose(GRADIENT_STEPS, QUICK_STEPS)
    every = {"learner.gradient_steps": steps, "learner.evaluate_every": 0, "seed": seed}
    out = options.out / "offline" / "run"
    command = train([task, "--store", str(store)], out, {**settings, **every})
    summary = command.run()
    return {
        "command": str(command),
        "return": summary["evaluation"]["mean_return"],
        "evaluation": summary["evaluation"],
        "wall_s": summary["wall_s"],
        "gradient_steps_per_s": summary["steps_per_s"],
    }


def row(task: str, name: str, behaviour: Json, found: list[Json]) -> list[str]:
    """Return a contender's row over its seeds."""
    returns = [record["return"] for record in found]
    stored = [short(behaviour[which]) for which in ("random", "trained", "all")]
    better = statistics.median(returns) - behaviour["all"]
    rates = Spread.of(record["gradient_steps_per_s"] for record in found)
    wall = Spread.of(record["wall_s"] for record in found)
    return [task, name, *stored, str(Spread.of(returns)), short(better), str(rates), str(wall)]
