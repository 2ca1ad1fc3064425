"""Run directories, read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from troupe.core import UserError
from troupe.experiments.load import build_experiment
from troupe.experiments.schema import Experiment

Column = npt.NDArray[Any]

REQUIRED = ("config.yaml", "provenance.json")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One execution, as its directory tells it.

    Attributes:
        path: the directory.
        experiment: the resolved description.
        provenance: host, versions, seed, when it started.
        metrics: by column, an entry per update; empty if no update has ended yet.
        summary: what training said at its end; None while it goes on or if it was interrupted.
        evaluation: how the policy was measured; None if it was not.
    """

    path: Path
    experiment: Experiment
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Column]
    summary: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None

    @property
    def is_offline(self) -> bool:
        """Whether it learned from stored episodes."""
        return "learned_from" in self.provenance

    @property
    def num_updates(self) -> int:
        """Updates that the metrics tell of."""
        return len(self.metrics.get("update", ()))

    def last(self, column: str) -> float | None:
        """Return the newest value of a metric that is a number, None if there is none."""
        values = np.asarray(self.metrics.get(column, ()), np.float64)
        values = values[~np.isnan(values)]
        return float(values[-1]) if len(values) else None

    def total(self, key: str) -> float | None:
        """Return a figure of the whole run: of the summary, else as far as the metrics go."""
        if self.summary is not None and self.summary.get(key) is not None:
            return float(self.summary[key])
        return self.last(key)


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return all((path / name).is_file() for name in REQUIRED)


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """Return the run directories that paths name, each once.

    Args:
        paths: of runs, or of sweeps, whose subdirectories are runs.

    Raises:
        UserError: for a path that is neither; it names the missing files.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        runs = [path] if is_run(path) else _children(path)
        if not runs:
            raise _no_run(path)
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def read_runs(paths: Iterable[str | Path]) -> list[RunRecord]:
    """Return the runs that paths of runs and sweeps name, each once.

    Raises:
        UserError: for a path that is neither, or a file that cannot be read.
    """
    return [read_run(path) for path in find_runs(paths)]


def read_run(path: str | Path) -> RunRecord:
    """Return what a run directory holds; it may still be growing.

    Raises:
        UserError: if it is no run directory, or one of its files cannot be read.
    """
    path = Path(path)
    if not is_run(path):
        raise _no_run(path)
    summary = _read_json(path / "summary.json")
    evaluation = _read_json(path / "evaluation.json")
    if evaluation is None and summary is not None:
        evaluation = summary.get("evaluation")
    return RunRecord(
        path=path,
        experiment=_read_config(path / "config.yaml"),
        provenance=_read_json(path / "provenance.json") or {},
        metrics=_read_metrics(path / "metrics.parquet"),
        summary=summary,
        evaluation=evaluation,
    )


def run_names(runs: Sequence[RunRecord]) -> list[str]:
    """Return the shortest names that tell runs apart: directory names, or whole paths."""
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _children(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted((child for child in path.iterdir() if is_run(child)), key=_natural)


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort seed-10 after seed-2."""
    parts = re.split(r"(\d+)", path.name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def _no_run(path: Path) -> UserError:
    if not path.is_dir():
        return UserError(f"run '{path}': there is no such directory.")
    missing = " and ".join(name for name in REQUIRED if not (path / name).is_file())
    return UserError(
        f"'{path}' is neither a run directory ({missing} missing) nor a sweep: "
        "none of its subdirectories is a run."
    )


def _read_config(path: Path) -> Experiment:
    try:
        description = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(description, dict):
        raise UserError(f"{path}: an experiment is a mapping of keys to values.")
    try:
        return build_experiment(description)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: a JSON object is expected.")
    return content


def _read_metrics(path: Path) -> dict[str, Column]:
    if not path.is_file():
        return {}
    try:
        # a path object would be read by name, and a partly written file mapped into memory
        table = pq.ParquetFile(pa.BufferReader(path.read_bytes())).read()
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a readable Parquet file: {error}") from error
    return {name: table.column(name).to_numpy() for name in table.column_names}
