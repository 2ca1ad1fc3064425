"""Sweeps: every combination of some settings, run by Ray Tune, in one directory."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from troupe.core.errors import UserError
from troupe.core.files import write_atomic
from troupe.experiments.load import Description, build_experiment, merge, nested
from troupe.experiments.schema import Experiment
from troupe.fleet.launch import check_place
from troupe.fleet.runs import RunDirectory, check_output
from troupe.fleet.training import check_experiment

GRID = "grid_search"
SWEEP_FILE = "sweep.yaml"
"""Holds the description of each run of a sweep."""


def combinations(description: Mapping[str, Any]) -> dict[str, Description]:
    """Return every combination of the values under ``grid_search``, by a name that tells them.

    Without any grid it is the description itself, by the name "".

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
            combined = merge(combined, nested(key, value))
        parts = [f"{key[-1]}={value}" for key, value in zip(grids, chosen, strict=True)]
        found[",".join(parts).replace("/", "_")] = combined
    return found


def check_sweep(
    descriptions: Mapping[str, Description], out: Path, *, force: bool, resume: bool = False
) -> dict[str, Experiment]:
    """Return the experiments of a sweep by name, each checked.

    Raises:
        UserError: if one of them is wrong, or something is there that may not be replaced.
    """
    if not resume:
        check_output(out, force=force, marker=SWEEP_FILE)
    experiments = {name: build_experiment(d) for name, d in descriptions.items()}
    for name, experiment in experiments.items():
        check_experiment(experiment)
        if resume and (out / name).exists():
            check_place(experiment, out / name, force=False, resume=True)
    return experiments


def is_sweep(path: Path) -> bool:
    """Return whether a path is the directory of a sweep."""
    return (path / SWEEP_FILE).is_file()


def read_sweep(path: Path) -> dict[str, Description]:
    """Return the descriptions of a sweep's runs by name."""
    descriptions: dict[str, Description] = yaml.safe_load((path / SWEEP_FILE).read_text())
    return descriptions


def run_sweep(
    experiments: Mapping[str, Experiment],
    out: Path,
    *,
    force: bool = False,
    resume: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train each experiment into a run under `out`, one after the other, and return the summaries.

    The trials run one at a time, because each uses all the cores that it is given.

    Args:
        experiments: by name.
        out: the sweep's directory; a new one, or with `resume` an existing one.
        force: whether a sweep that is there already may be replaced.
        resume: whether to leave out what has been done already.
        report: called with a line for each run that has ended.

    Raises:
        UserError: if the output is there already, or Ray does not answer.
        InterruptedRun: if a signal ended it; what was done is kept.
        TroupeError: if runs failed; the others are kept.
    """
    from troupe.fleet.cluster import connected
    from troupe.fleet.trials import run_trials

    if not resume:
        check_output(out, force=force, marker=SWEEP_FILE)
    with connected(next(iter(experiments.values())).fleet.address):
        if not resume:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
        descriptions = {name: experiment.resolved() for name, experiment in experiments.items()}
        write_atomic(out / SWEEP_FILE, yaml.safe_dump(descriptions, sort_keys=False))
        trials = [
            {"name": name, "path": str((out / name).absolute()), "description": descriptions[name]}
            for name, experiment in experiments.items()
            if not _is_done(out / name, experiment)
        ]
        if trials:
            run_trials(trials, out, report)
    return [json.loads((out / name / "summary.json").read_text()) for name in experiments]


def _is_done(path: Path, experiment: Experiment) -> bool:
    """Return whether a run has been trained and evaluated as an experiment says."""
    summary = path / "summary.json"
    if not summary.is_file():
        return False
    same = RunDirectory.open(path).experiment().resolved() == experiment.resolved()
    return same and json.loads(summary.read_text())["evaluation"] is not None


def _grids(value: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, Mapping):
        return
    if GRID in value:
        yield key, value[GRID]
        return
    for name, inner in value.items():
        yield from _grids(inner, (*key, name))
