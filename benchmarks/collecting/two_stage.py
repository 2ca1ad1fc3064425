"""The two-stage study: many actors for a learner, many learners for a model.

``actors``: speed-up by actors of one learner, against the time that computing and that
communicating take, both real sleeps. ``learners``: speed-up by learners with slow actors of their
own. ``rare``: learners that see different digits and exchange seldom, and what cures it. ``loss``:
messages that get lost. ``poison``: learners that send garbage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import ray

from benchmarks.collecting.digits import Arrays, DigitsSettings, MakeDigits, accuracy
from benchmarks.collecting.in_process import Outcome, Spoil, learn
from benchmarks.harness import Json, Options, Spread, Table, in_turn, ratio, write_result
from troupe.fleet.cluster import connected
from troupe.fleet.peers.local import SERVER
from troupe.fleet.peers.open import open_exchange
from troupe.learning.merging import MergeSettings
from troupe.learning.merging.all_reduce import AllReduceSettings
from troupe.learning.merging.average import AverageSettings
from troupe.learning.merging.federated import FederatedSettings
from troupe.learning.merging.gossip import GossipSettings
from troupe.learning.merging.krum import KrumSettings
from troupe.learning.merging.median import MedianSettings
from troupe.learning.merging.parameter_server import ParameterServerSettings
from troupe.learning.merging.trimmed_mean import TrimmedMeanSettings

PARTS = ("actors", "learners", "rare", "loss", "poison")
NUM_LEARNERS = 8
UPDATES = 400

COMPUTE_S = 0.1
COMMUNICATE_S = (0.0, 0.005, 0.025)
ACTORS = (1, 2, 4, 8)
FRAGMENTS = 5

SLEEP_S = 0.2
LEARNERS = (1, 2, 4)
REPORTS = 12


def run(options: Options) -> None:
    """Measure the parts that were asked for."""
    found: Json = {}
    tables: list[Table] = []
    for part in options.parts(PARTS, PARTS):
        measured, table = _MEASURES[part](options)
        found[part] = measured
        tables.append(table)
        print(table, flush=True)
        write_result("collecting.two_stage", options, tables, **found)


class Sleeper:
    """An actor whose fragment takes a while."""

    def sample(self, seconds: float) -> int:
        time.sleep(seconds)
        return 1


def actors(options: Options) -> tuple[Json, Table]:
    """Measure fragments/s of actors that compute alone, and pass results through one link."""
    rounds = options.choose(3, 1, options.rounds)
    counts = options.choose(ACTORS, (1, 2))
    with connected(None):
        sleepers = [ray.remote(num_cpus=0)(Sleeper).remote() for _ in range(max(counts))]
        ray.get([sleeper.sample.remote(0.0) for sleeper in sleepers])
        contenders = {
            (n, c): lambda n=n, c=c: _collect(sleepers[:n], c)
            for c in COMMUNICATE_S
            for n in counts
        }
        rates = in_turn(contenders, rounds)
    rows = []
    for c in COMMUNICATE_S:
        alone = rates[counts[0], c]
        ideal = [min(n / (COMPUTE_S + 0.0), 1 / c if c else np.inf) for n in counts]
        for n, best in zip(counts, ideal, strict=True):
            rows.append(
                [
                    f"{1e3 * c:g}",
                    str(n),
                    str(Spread.of(rates[n, c])),
                    f"{best:.3g}",
                    str(ratio(rates[n, c], alone)),
                ]
            )
    title = f"Actors of one learner; a fragment takes {1e3 * COMPUTE_S:g} ms to compute"
    header = ["communication, ms", "actors", "fragments/s", "at most", "/ one actor"]
    return _by_key(rates), Table(title, header, rows)


def _collect(sleepers: Sequence[Any], communicate_s: float) -> float:
    """Return fragments/s: actors go on at once, and results pass one after the other."""
    number = FRAGMENTS * len(sleepers)
    began = time.perf_counter()
    pending = {sleeper.sample.remote(COMPUTE_S): sleeper for sleeper in sleepers}
    for _ in range(number):
        ready, _ = ray.wait(list(pending), num_returns=1)
        sleeper = pending.pop(ready[0])
        pending[sleeper.sample.remote(COMPUTE_S)] = sleeper
        time.sleep(communicate_s)
    rate = number / (time.perf_counter() - began)
    ray.get(list(pending))
    return rate


def learners(options: Options) -> tuple[Json, Table]:
    """Measure digits/s of learners whose actors take a while for each update."""
    rounds = options.choose(3, 1, options.rounds)
    counts = options.choose(LEARNERS, (1, 2))
    merges: Mapping[str, MergeSettings] = {
        "average": AverageSettings(),
        "average, every 5": AverageSettings(every=5),
        "all-reduce": AllReduceSettings(),
        "parameter-server": ParameterServerSettings(),
        "parameter-server, asynchronous": ParameterServerSettings(synchronous=False),
        "gossip": GossipSettings(),
    }
    merges = options.choose(merges, {"average": merges["average"]})
    with connected(None):
        contenders = {
            (name, n): lambda merge=merge, n=n: _learn_with(merge, n)
            for name, merge in merges.items()
            for n in counts
            if n >= merge.least_learners
        }
        found = in_turn(contenders, rounds)
    rows = []
    alone = [rate for rate, _ in found["average", 1]]
    for (name, n), results in found.items():
        rates = [rate for rate, _ in results]
        rows.append(
            [
                name,
                str(n),
                str(Spread.of(rates)),
                str(ratio(rates, alone)),
                str(Spread.of(share for _, share in results)),
            ]
        )
    title = f"Learners whose actors take {1e3 * SLEEP_S:g} ms for the digits of an update"
    header = ["merge", "learners", "digits/s", "/ one learner", "told right"]
    return _by_key(found), Table(title, header, rows)


def _learn_with(merge: MergeSettings, num_learners: int) -> tuple[float, float]:
    """Return digits/s, without start-up, and the share of test digits that are told right."""
    make = MakeDigits(DigitsSettings(num_learners, minibatches=1, sleep_s=SLEEP_S))
    exchange = open_exchange(merge, make, make(SERVER), num_learners, seed=0)
    try:
        seen: set[int] = set()
        while len(seen) < num_learners:
            seen |= set(exchange.step().reports)
        began, updates, steps = time.perf_counter(), 0, 0
        while updates < REPORTS * num_learners:
            for report in exchange.step().reports.values():
                updates += len(report.improvements)
                steps += report.steps
        return steps / (time.perf_counter() - began), accuracy(exchange.parameters)
    finally:
        exchange.close()
        exchange.pool.close()


def rare(options: Options) -> tuple[Json, Table]:
    """Measure learners that exchange seldom."""
    settings = DigitsSettings(NUM_LEARNERS, momentum=0.9, step_size=0.1)
    cases: Mapping[str, tuple[bool, MergeSettings, int]] = {
        "fair shares; gossip every step": (False, GossipSettings(), 0),
        "fair shares; gossip every 10": (False, GossipSettings(every=10), 0),
        "few kinds each; gossip every step": (True, GossipSettings(), 0),
        "few kinds each; gossip every 10": (True, GossipSettings(every=10), 0),
        "and a server averages all every 50": (True, GossipSettings(every=10), 50),
        "and a server averages all every 10": (True, GossipSettings(every=10), 10),
        "few kinds each; average every step": (True, AverageSettings(), 0),
        "few kinds each; average every 10": (True, AverageSettings(every=10), 0),
        "few kinds each; average every 50": (True, AverageSettings(every=50), 0),
        "few kinds each; federated every 10": (True, FederatedSettings(every=10), 0),
        "few kinds each; federated every 50": (True, FederatedSettings(every=50), 0),
    }

    def measure(case: tuple[bool, MergeSettings, int]) -> Callable[[int], Outcome]:
        skewed, merge, central = case
        return lambda seed: learn(
            _with(settings, skewed=skewed, seed=seed),
            merge,
            _updates(options),
            central_every=central,
        )

    return _outcomes(
        options,
        f"{NUM_LEARNERS} learners that exchange seldom",
        {name: measure(case) for name, case in cases.items()},
    )


def loss(options: Options) -> tuple[Json, Table]:
    """Measure learners whose messages get lost."""
    settings = DigitsSettings(NUM_LEARNERS, skewed=True)
    cases = {
        f"{name}, {100 * share:g} % lost": (merge, share)
        for name, merge in (("average", AverageSettings()), ("gossip", GossipSettings()))
        for share in (0.0, 0.02, 0.2)
    }

    def measure(case: tuple[MergeSettings, float]) -> Callable[[int], Outcome]:
        merge, share = case
        return lambda seed: learn(_with(settings, seed=seed), merge, _updates(options), loss=share)

    return _outcomes(
        options,
        f"{NUM_LEARNERS} learners of few kinds each, messages lost",
        {name: measure(case) for name, case in cases.items()},
    )


def poison(options: Options) -> tuple[Json, Table]:
    """Measure learners of which two send garbage."""
    merges: Mapping[str, MergeSettings] = {
        "average": AverageSettings(),
        "median": MedianSettings(),
        "trimmed-mean": TrimmedMeanSettings(faulty=2),
        "krum": KrumSettings(faulty=2),
        "multi-krum": KrumSettings(faulty=2, selected=6),
    }
    settings = DigitsSettings(NUM_LEARNERS)
    honest = _with(settings, num_learners=NUM_LEARNERS - 2)
    measures: dict[str, Callable[[int], Outcome]] = {
        "6 honest learners alone; average": lambda seed: learn(
            _with(honest, seed=seed), AverageSettings(), _updates(options)
        )
    }
    for kind, spoil in SPOILS.items():
        for name, merge in merges.items():
            measures[f"{kind}; {name}"] = lambda seed, merge=merge, spoil=spoil: learn(
                _with(settings, seed=seed), merge, _updates(options), poisoned=2, spoil=spoil
            )
    return _outcomes(options, "2 of 8 learners send garbage", measures)


def _reversed(own: Arrays, common: Arrays, rng: np.random.Generator) -> Arrays:
    """Go ten times as far as was learned, the other way."""
    return {name: common[name] - 10 * (own[name] - common[name]) for name in own}


def _noise(own: Arrays, common: Arrays, rng: np.random.Generator) -> Arrays:
    return {name: values + rng.standard_normal(values.shape) for name, values in own.items()}


SPOILS: Mapping[str, Spoil] = {
    "not a number": lambda own, common, rng: {n: v * np.nan for n, v in own.items()},
    "sign flipped": lambda own, common, rng: {n: -v for n, v in own.items()},
    "ten steps back": _reversed,
    "noise": _noise,
}


def _outcomes(
    options: Options, title: str, measures: Mapping[str, Callable[[int], Outcome]]
) -> tuple[Json, Table]:
    seeds = options.choose((0, 1, 2, 3, 4), (0,), options.seeds)
    found: Json = {}
    rows = []
    for name, measure in measures.items():
        outcomes = [vars(measure(seed)) for seed in seeds]
        found[name] = outcomes
        spreads = [str(Spread.of(o[key] for o in outcomes)) for key in outcomes[0]]
        rows.append([name, *spreads])
    header = ["exchange", "mean model tells right", "worst learner's", "divergence"]
    title = f"{title}; {_updates(options)} updates, {len(seeds)} seeds"
    return found, Table(title, header, rows)


def _updates(options: Options) -> int:
    return options.choose(UPDATES, 20)


def _with(settings: DigitsSettings, **changes: Any) -> DigitsSettings:
    return DigitsSettings(**{**vars(settings), **changes})


def _by_key(found: Mapping[tuple[Any, ...], Any]) -> Json:
    return {", ".join(str(part) for part in key): values for key, values in found.items()}


_MEASURES: Mapping[str, Callable[[Options], tuple[Json, Table]]] = {
    "actors": actors,
    "learners": learners,
    "rare": rare,
    "loss": loss,
    "poison": poison,
}
