"""Sweeps: every combination of some settings, run by Ray Tune, in one directory."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from troupe.core.errors import TroupeError, UserError
from troupe.experiments.load import Description, build_experiment, merge
from troupe.experiments.schema import Experiment
from troupe.fleet.launch import run_training
from troupe.fleet.runs import check_output
from troupe.fleet.training import check_experiment

GRID = "grid_search"


def combinations(description: Mapping[str, Any]) -> dict[str, Description]:
    """Return every combination of the values under ``grid_search``, by a name that tells them.

    Args:
        description: plain values, in which any may be ``{grid_search: [a, b]}``.

    Raises:
        UserError: if a grid is not a list of values.
    """
    grids = dict(_grids(description, ()))
    for key, values in grids.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{'.'.join(key)}.{GRID}: give a list of values, not {values!r}.")
    found = {}
    for chosen in itertools.product(*grids.values()):
        combined: Description = dict(description)
        for key, value in zip(grids, chosen, strict=True):
            combined = merge(combined, _nested(key, value))
        parts = [f"{key[-1]}={value}" for key, value in zip(grids, chosen, strict=True)]
        found[",".join(parts)] = combined
    return found


def check_sweep(description: Mapping[str, Any], out: Path, *, force: bool) -> dict[str, Experiment]:
    """Return the experiments of a sweep, each checked.

    Raises:
        UserError: if one of them is wrong, or the output is there already.
    """
    if out.exists() and not force:
        check_output(out, force=False)
    experiments = {n: build_experiment(d) for n, d in combinations(description).items()}
    for experiment in experiments.values():
        check_experiment(experiment)
    return experiments


def run_sweep(
    experiments: Mapping[str, Experiment],
    out: Path,
    *,
    force: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train each experiment into a run under `out`, one after the other, and return the summaries.

    The trials run one at a time, because each uses all the cores that it is given.

    Raises:
        TroupeError: if a trial failed; the runs of the others are kept.
    """
    from ray import tune

    from troupe.fleet.actors import connect

    if force:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    connect(next(iter(experiments.values())).fleet.address)
    paths = {name: str((out / name).absolute()) for name in experiments}

    def trial(config: dict[str, Any]) -> dict[str, Any]:
        experiment = build_experiment(config["description"])
        return run_training(experiment, Path(config["path"]))

    described = [
        {"path": paths[name], "description": experiment.resolved()}
        for name, experiment in experiments.items()
    ]
    tuner = tune.Tuner(
        tune.with_resources(trial, {"CPU": 0}),
        param_space={"trial": tune.grid_search(described)},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str((out / ".tune").absolute()), verbose=0),
    )
    results = tuner.fit()
    report(f"{len(results)} runs, {results.num_errors} failed")
    if results.num_errors:
        raise TroupeError(
            f"{results.num_errors} of {len(results)} runs failed: {results.errors[0]}"
        )
    return [dict(results[i].metrics or {}) for i in range(len(results))]


def _grids(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, Mapping):
        return
    if GRID in value:
        yield key, value[GRID]
        return
    for name, inner in value.items():
        yield from _grids(inner, (*key, name))


def _nested(key: tuple[str, ...], value: Any) -> Description:
    for part in reversed(key):
        value = {part: value}
    nested: Description = value
    return nested
