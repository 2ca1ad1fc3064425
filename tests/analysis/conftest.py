"""Run directories as training leaves them, without any training."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from troupe.experiments.load import load_experiment


def metrics(
    seed: int, workers: int = 0, updates: int = 60, error: bool = True
) -> dict[str, np.ndarray]:
    """Curves that depend on the seed alone, and times that depend on the workers too."""
    rng = np.random.default_rng(seed)
    update = np.arange(1, updates + 1)
    progress = update / 60
    speed = 20_000 * (1 + 0.6 * workers)
    columns = {
        "update": update,
        "steps": 4096 * update,
        "wall_s": 4096 * update / speed * (1 + 0.05 * rng.random()),
        "steps_per_s": np.full(updates, speed),
        "mean_return": 100 * (1 - np.exp(-4 * progress)) - 60 + rng.normal(0, 1.5, updates),
        "mean_length": np.full(updates, 100.0),
        "episodes": 40 * update,
        "attempts": 40 * update + 64,
        "policy_loss": rng.normal(0, 0.01, updates),
        "faults": np.zeros(updates, np.int64),
        "lag": np.ones(updates, np.int64),
        "dropped_steps": np.zeros(updates, np.int64),
    }
    columns["mean_return"][0] = np.nan
    if error:
        noise = np.exp(rng.normal(0, 0.08, updates))
        columns["error_m"] = (0.25 * np.exp(-6 * progress) + 0.0012) * noise
        columns["success"] = 1 - np.exp(-3 * progress)
    return columns


def evaluation(seed: int = 0, error: bool = True) -> dict[str, Any]:
    """What `troupe evaluate` says."""
    made: dict[str, Any] = {"episodes": 100, "seed": 7, "mean_return": 41.5 + seed}
    if error:
        mean = 0.86 + 0.05 * seed
        made |= {
            "accuracy_mm": {
                "mean": mean,
                "median": 0.7,
                "p95": 1.9,
                "p99": 2.4 + 0.1 * seed,
                "max": 5.1,
            },
            "success_rate": 0.99,
            "repeatability_mm": 0.05,
            "paper": {"accuracy_mm": mean + 0.1, "repeatability_mm": 0.31 + 0.02 * seed},
            "iso9283": {
                "ap_mm": 0.77,
                "rp_mm": 0.123,
                "poses": 5,
                "cycles": 30,
                "noise": {"initial_position_rad": 0.01, "seed": 7},
            },
        }
    return made


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run directory under tmp_path, by its name there."""
    return lambda name, **settings: write_run(tmp_path / name, **settings)


@pytest.fixture
def sweep(make_run: MakeRun, tmp_path: Path) -> Path:
    """Two numbers of workers, two seeds."""
    for workers in (1, 4):
        for seed in (0, 1):
            make_run(f"sweep/workers-{workers}-seed-{seed}", seed=seed, workers=workers)
    return tmp_path / "sweep"


def write_run(
    path: Path,
    seed: int = 0,
    workers: int = 0,
    experiment: str = "scara-reach",
    overrides: tuple[str, ...] = (),
    updates: int = 60,
    error: bool = True,
    ended: bool = True,
    columns: Mapping[str, Any] | None = None,
    store: str | None = None,
) -> Path:
    """Write a run directory; one that has not ended has no summary and no evaluation.

    `columns` stand in the metrics instead of those made up; from a `store` it has learned.
    """
    path.mkdir(parents=True)
    given = (f"seed={seed}", f"fleet.workers={workers}", "steps=1500000", *overrides)
    resolved = load_experiment(experiment, given).resolved()
    (path / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False))
    provenance = {
        "troupe": "0.1.0",
        "python": "3.11.2",
        "platform": "Linux-6.1-x86_64",
        "host": "bench-1",
        "cpu": "Some CPU & more",
        "cores": 2,
        "git": {"commit": "6db24ed", "dirty": False},
        "seed": seed,
        "versions": {"numpy": np.__version__, "pyarrow": pa.__version__},
        "started": f"2025-01-01T00:0{seed % 10}:00+00:00",
    }
    if store is not None:
        provenance["learned_from"] = {"store": store, "episodes": 200}
    (path / "provenance.json").write_text(json.dumps(provenance))
    measured = metrics(seed, workers, updates, error) | dict(columns or {})
    pq.write_table(pa.table(measured), path / "metrics.parquet")
    if ended:
        wall_s = float(measured["wall_s"][-1])
        summary = {
            "run": str(path),
            "experiment": resolved["name"],
            "seed": seed,
            "workers": workers,
            "steps": int(measured["steps"][-1]),
            "wall_s": wall_s,
            "startup_s": 2.5 + workers,
            "steps_per_s": float(measured["steps"][-1]) / wall_s,
            "updates": updates,
            "dropped_steps": 0,
            "attempts": int(measured["attempts"][-1]),
            "stop_reason": "steps",
            "learned": {"attempts": 640 + 10 * seed, "steps": 60_000, "wall_s": wall_s / 4},
            "evaluation": evaluation(seed, error),
        }
        if not error:
            summary["learned"] = None
        (path / "summary.json").write_text(json.dumps(summary))
        (path / "evaluation.json").write_text(json.dumps(evaluation(seed, error)))
    return path
