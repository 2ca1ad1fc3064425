"""A storm of deaths: an actor every 10 s, the learner every 60 s, for 10 minutes.

Each round is an undisturbed run and one in the storm, with a seed of their own; throughput counts
from the first start of learning to the end, with all restarts and repeated updates.
"""

from __future__ import annotations

import statistics

from benchmarks.harness import Json, Options, Spread, Table, short, troupe, write_result

EXPERIMENT = "scara-reach-20ms"
WORKERS = 8


def run(options: Options) -> None:
    """Measure some rounds and write the result."""
    seeds = options.choose((0, 1, 2), (0,), options.seeds)
    rounds = {seed: measure(options, seed) for seed in seeds}
    table = tabulate(list(rounds.values()))
    print(table)
    rows = {str(seed): found for seed, found in rounds.items()}
    write_result("collecting.chaos", options, [table], rounds=rows)


def measure(options: Options, seed: int) -> Json:
    """Return what ``troupe chaos`` says of a seed, for the training and the storm."""
    duration, actor, learner = options.choose(("10min", "10s", "60s"), ("20s", "5s", "10s"))
    out = options.out / "collecting.chaos" / f"seed={seed}"
    settings = {"fleet.mode": "asynchronous", "fleet.workers": WORKERS, "seed": seed}
    given = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    storm = ["--kill-actor-every", actor, "--kill-learner-every", learner, "--seed", str(seed)]
    place = ["--duration", duration, "--out", str(out), "--force", "--json"]
    return troupe("chaos", EXPERIMENT, *given, *storm, *place).run()


def tabulate(rounds: list[Json]) -> Table:
    """Return the figures of all rounds beside what they are to be."""
    returns = [found["return"] for found in rounds]
    calm, storm = ([r[name] for r in returns] for name in ("calm", "storm"))
    kept = Spread.of(found["throughput_retained"] for found in rounds)
    recoveries = [h["recovered_s"] for f in rounds for h in f["hits"] if h["part"] == "learner"]
    known = [seconds for seconds in recoveries if seconds is not None]
    noise = short(statistics.stdev(calm)) if len(calm) > 1 else "-"
    rows = [
        ["arrived steps lost", str(sum(f["steps"]["acknowledged_lost"] for f in rounds)), "0"],
        ["steps under way lost, at most", _share(rounds), ""],
        ["throughput retained", str(kept), "0.8"],
        ["return in the storm", str(Spread.of(storm)), ""],
        ["return undisturbed", str(Spread.of(calm)), f"± {noise} over seeds"],
        ["recovery from a learner's death, s", str(Spread.of(known)) if known else "-", ""],
        ["actors, learners killed", _kills(rounds), ""],
    ]
    title = f"{EXPERIMENT}, {WORKERS} asynchronous workers in a storm"
    return Table(title, ["figure", "median (least–greatest)", "must"], rows)


def _share(rounds: list[Json]) -> str:
    shares = [f["steps"]["unacknowledged_lost"] / f["steps"]["sampled"] for f in rounds]
    return f"{max(shares):.2%}"


def _kills(rounds: list[Json]) -> str:
    return ", ".join(str(sum(f["kills"].get(p, 0) for f in rounds)) for p in ("actor", "learner"))
