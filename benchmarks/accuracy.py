"""What the arms' experiments take with their default settings, and the error that they end with.

Each seed is trained alone on the machine, then measured on 1000 new episodes. The peers of these
figures are the published ones and the limits that the table states beside them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.harness import Json, Options, Records, Spread, Table, train, troupe

SEEDS = (0, 1, 2, 3, 4)
EPISODES = 1000
NEVER = {"wall_s": math.inf, "attempts": math.inf}


@dataclass(frozen=True)
class Column:
    """A figure of a run: its name, how to find it, and what it must be in the median."""

    name: str
    find: Callable[[Json], float]
    must: str = ""


TIME = Column("wall_s", lambda r: r["wall_s"])
LEARNED = Column("learned after, s", lambda r: (r["learned"] or NEVER)["wall_s"])
ATTEMPTS = Column("attempts", lambda r: (r["learned"] or NEVER)["attempts"])
MEAN = Column("mean, mm", lambda r: r["accuracy_mm"]["mean"])
OTHERS = [
    Column("median, mm", lambda r: r["accuracy_mm"]["median"]),
    Column("99 % within, mm", lambda r: r["accuracy_mm"]["p99"]),
    Column("worst, mm", lambda r: r["accuracy_mm"]["max"]),
]
SUCCESS = Column("within threshold, %", lambda r: 100 * r["success_rate"])


COLUMNS = {
    "scara-reach": [
        replace(TIME, must="≤ 60, reach for 20"),
        replace(MEAN, must="≤ 1.37"),
        *OTHERS,
        replace(SUCCESS, must="≥ 99"),
        LEARNED,
        ATTEMPTS,
    ],
    "mara-reach": [
        replace(TIME, must="≤ 180, reach for 45"),
        replace(MEAN, must="≤ 5"),
        *OTHERS,
        SUCCESS,
        LEARNED,
        ATTEMPTS,
    ],
    "scara-point": [
        replace(LEARNED, must="≤ 15, reach for 3"),
        ATTEMPTS,
        TIME,
        MEAN,
        *OTHERS,
        SUCCESS,
    ],
    "mara-point": [LEARNED, ATTEMPTS, TIME, MEAN, *OTHERS, SUCCESS],
}
"""By experiment. The threshold of all is 5 mm: of the reach tasks on the distance, of the point
tasks on the root mean square of its components, as published."""


def run(options: Options) -> None:
    """Train and measure all seeds that are not there yet, and write the result."""
    records = Records("accuracy", options)
    seeds = options.choose(SEEDS, (0,), options.seeds)
    experiments = options.parts(tuple(COLUMNS), ("scara-reach", "scara-point"))
    found: dict[str, list[Json]] = {name: [] for name in experiments}
    for seed in seeds:
        for name in experiments:
            key = f"{name}, seed {seed}" + (", quick" if options.quick else "")
            found[name].append(records.get(key, partial(measure, name, seed, options)))
    tables = [summary(name, seeds, found[name]) for name in experiments]
    print(*tables, sep="\n")
    records.write(tables)


def measure(name: str, seed: int, options: Options) -> Json:
    """Train an experiment with a seed and evaluate the policy."""
    path = options.out / "accuracy" / f"{name}-{seed}"
    settings = {"seed": seed, **({"steps": 8192} if options.quick else {})}
    trained = train([name], path, settings).run()
    episodes = options.choose(EPISODES, 20)
    measured = troupe("evaluate", str(path), "--episodes", str(episodes), "--json").run()
    del trained["evaluation"]
    return {**trained, **measured}


def summary(name: str, seeds: Sequence[int], records: list[Json]) -> Table:
    """Return a table of an experiment: its seeds, their median and spread, and what must be."""
    columns = COLUMNS[name]
    rows = [
        [str(seed), *(_shown(column.find(record)) for column in columns)]
        for seed, record in zip(seeds, records, strict=True)
    ]
    medians = [_shown(statistics.median(map(c.find, records))) for c in columns]
    spreads = [Spread.of(map(c.find, records)) for c in columns]
    rows.append(["**median**", *(f"**{median}**" for median in medians)])
    rows.append(["least–most", *(f"{_shown(s.low)}–{_shown(s.high)}" for s in spreads)])
    rows.append(["must", *(column.must for column in columns)])
    return Table(f"{name}: default settings", ["seed", *(c.name for c in columns)], rows)


def _shown(value: float) -> str:
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
