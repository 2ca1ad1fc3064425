"""Sanity of the learner on Gymnasium's own environments, beside SB3 with the settings of its zoo.

A pair trains at the same time, each on a core of its own, so that noise hits both; seeds take turns
in which core is whose. Return is that of the deterministic policy over 20 episodes.
"""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.harness import (
    Json,
    Options,
    Records,
    Spread,
    Table,
    ratio,
    run_together,
    short,
    train,
    train_peer,
    troupe,
)
from troupe.fleet.runs import RunDirectory

STEPS = {"Pendulum-v1": 200_000, "Reacher-v5": 500_000, "HalfCheetah-v5": 1_000_000}
QUICK_STEPS = 8192
SEEDS = (0, 1, 2)
EPISODES = 20
SIDES = ("troupe", "sb3")


def run(options: Options) -> None:
    """Train the pairs that are not there yet, and write the result."""
    records = Records("learner", options)
    seeds = options.choose(SEEDS, (0,), options.seeds)
    envs = options.parts(tuple(STEPS), ("Pendulum-v1",))
    found: dict[str, list[Json]] = {env: [] for env in envs}
    for seed in seeds:
        for env in envs:
            steps = options.choose(STEPS[env], QUICK_STEPS)
            key = f"{env}, {steps} steps, seed {seed}"
            found[env].append(records.get(key, partial(measure, env, steps, seed, options)))
    tables = [pairs(found), summary(found)]
    print(*tables, sep="\n")
    records.write(tables)


def measure(env: str, steps: int, seed: int, options: Options) -> Json:
    """Train both at the same time, evaluate both, and return their figures."""
    path = options.out / "learner" / f"{env}-{seed}"
    cores = {side: (i + seed) % 2 for i, side in enumerate(SIDES)}
    commands = {
        "troupe": train(["--env", env], path, {"seed": seed, "steps": steps}),
        "sb3": train_peer("sb3", env, {"steps": steps, "seed": seed}),
    }
    ours, theirs = run_together([commands[side].on_core(cores[side]) for side in SIDES])
    measured = troupe("evaluate", str(path), "--episodes", str(EPISODES), "--json").run()
    returns = RunDirectory.open(path).read_table("metrics.parquet")["mean_return"]
    ours |= {"evaluation_return": measured["mean_return"], "train_return": float(returns[-1])}
    kept = ["steps", "wall_s", "startup_s", "steps_per_s", "evaluation_return", "train_return"]
    return {
        "env": env,
        "seed": seed,
        "cores": cores,
        "commands": {side: str(command) for side, command in commands.items()},
        "troupe": {name: ours[name] for name in kept},
        "sb3": {name: theirs[name] for name in ["peer", *kept]},
    }


def pairs(found: dict[str, list[Json]]) -> Table:
    """Return a table of all pairs."""
    rows = []
    for env, records in found.items():
        for record in records:
            own = [record[side] for side in SIDES]
            wall = [short(side["wall_s"]) for side in own]
            faster = short(own[1]["wall_s"] / own[0]["wall_s"])
            returns = [
                short(side[name]) for name in ("evaluation_return", "train_return") for side in own
            ]
            rows.append([env, str(record["seed"]), *wall, faster, *returns])
    header = ["", "seed", "Troupe, s", "SB3, s", "SB3 / Troupe"]
    header += ["return: Troupe", "SB3", "return in training: Troupe", "SB3"]
    return Table("Pairs, trained at the same time on a core each", header, rows)


def summary(found: dict[str, list[Json]]) -> Table:
    """Return a table of the environments, over their seeds."""
    rows = []
    for env, records in found.items():
        wall, returns = (
            {side: [r[side][name] for r in records] for side in SIDES}
            for name in ("wall_s", "evaluation_return")
        )
        medians = {side: statistics.median(returns[side]) for side in SIDES}
        better = short(medians["troupe"] - medians["sb3"])
        shown = [str(Spread.of(returns[side])) for side in SIDES]
        rows.append([env, str(ratio(wall["sb3"], wall["troupe"])), *shown, better])
    rows.append(["must", "≥ 2, reach for 4", "", "", "not worse"])
    header = ["", "wall time, SB3 / Troupe", "return: Troupe", "return: SB3", "difference"]
    return Table("Medians over the seeds (least–most)", header, rows)
