"""The run directory: everything about one execution, each file whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from troupe.core.errors import UserError
from troupe.core.files import directory_atomic, write_atomic
from troupe.core.json_values import to_json
from troupe.core.machine import num_cores
from troupe.episodes import EpisodeTable
from troupe.experiments.load import build_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.storage import shown
from troupe.learning.base import AnyLearnerSettings
from troupe.policies import MlpPolicy
from troupe.policies.storage import load_policy, save_policy

Arrays = Mapping[str, npt.NDArray[Any]]

RESUMED = ("engines", "loop", "task", "learner", "seed")
"""What a resumed run has to share with the one that it goes on from, and some of its fleet."""

CHECKPOINT_MARKER = "checkpoint.json"
"""The file of a checkpoint that is written last: with it, the checkpoint is complete."""

PACKAGES = ("numpy", "mujoco", "gymnasium", "jax", "optax", "ray", "pyarrow", "pydantic")


class RunDirectory:
    """A run's files.

    Attributes:
        path: of the directory.
    """

    def __init__(self, path: Path) -> None:
        """Name a directory; `create` or `open` checks it."""
        self.path = path

    @classmethod
    def create(
        cls,
        path: Path,
        experiment: Experiment,
        *,
        force: bool = False,
        origin: Mapping[str, Any] | None = None,
    ) -> RunDirectory:
        """Make a new run directory with its configuration and provenance.

        Args:
            path: where.
            experiment: that will run.
            force: whether an existing run there may be replaced.
            origin: what else the provenance is to tell.

        Raises:
            UserError: if there is something already, or the place cannot be written.
        """
        check_output(path, force=force)
        run = cls(path)
        try:
            if path.exists():
                shutil.rmtree(path)
            (path / "checkpoints").mkdir(parents=True)
            (path / "episodes").mkdir()
            run.write_json("provenance.json", {**provenance(experiment.seed), **(origin or {})})
            run.write_experiment(experiment)
        except OSError as error:
            raise UserError(f"output '{path}' cannot be written: {error.strerror}.") from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Return an existing run.

        Raises:
            UserError: if there is none.
        """
        if not (path / "config.yaml").is_file():
            raise UserError(f"'{shown(path)}' is not a run directory: it has no config.yaml.")
        return cls(path)

    @property
    def place(self) -> str:
        """How users name the run: its path, or the URL to which the directory is copied."""
        return shown(self.path)

    def experiment(self) -> Experiment:
        """Return the experiment that ran, as it was resolved."""
        return build_experiment(yaml.safe_load((self.path / "config.yaml").read_text()))

    def write_experiment(self, experiment: Experiment) -> None:
        """Write the experiment, resolved."""
        content = yaml.safe_dump(experiment.resolved(), sort_keys=False)
        write_atomic(self.path / "config.yaml", content)

    def log(self, line: str) -> None:
        """Append a line to the run's log, with the time."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with (self.path / "run.log").open("a") as file:
            file.write(f"{now} {line}\n")

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the run."""
        write_atomic(self.path / name, json.dumps(content, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the run; nothing if it does not exist."""
        path = self.path / name
        content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return content

    def append_json(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append objects to a file of the run, a line each; numpy's arrays become lists."""
        with (self.path / name).open("a") as file:
            file.writelines(f"{to_json(line)}\n" for line in lines)

    def write_table(self, name: str, columns: Arrays) -> None:
        """Write a Parquet file of the run."""
        aside = self.path / f"{name}.part"
        pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), aside)
        aside.replace(self.path / name)

    def read_table(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of a Parquet file of the run; none if it does not exist yet."""
        if not (self.path / name).is_file():
            return {}
        table = pq.read_table(self.path / name)
        return {c: table[c].to_numpy() for c in table.column_names}

    def write_episodes(self, steps: int, episodes: EpisodeTable) -> None:
        """Write the episodes that ended since the last call; `steps` counts the run's so far."""
        self.write_table(f"episodes/{steps:012d}.parquet", episodes)

    def write_checkpoint(
        self,
        steps: int,
        policy: MlpPolicy,
        groups: Mapping[str, Arrays],
        counters: Mapping[str, Any],
        digest: str,
    ) -> Path:
        """Write a checkpoint, which appears whole or not at all.

        Args:
            steps: of the run so far; names the checkpoint.
            policy: the newest.
            groups: arrays by file name: the learner's, the actors', the unfinished fragment's.
            counters: plain values.
            digest: of the experiment.
        """
        path = self.path / "checkpoints" / f"{steps:012d}"
        with directory_atomic(path) as aside:
            save_policy(policy, aside / "policy.safetensors")
            for name, arrays in groups.items():
                contiguous = {k: np.asarray(v, order="C") for k, v in arrays.items()}
                save_file(contiguous, aside / f"{name}.safetensors")
            content = {"digest": digest, "counters": counters, "groups": list(groups)}
            write_atomic(aside / CHECKPOINT_MARKER, json.dumps(content))
        for old in sorted(path.parent.glob("[0-9]*"))[:-3]:
            shutil.rmtree(old)
        return path

    def has_checkpoint(self) -> bool:
        """Return whether there is a complete checkpoint."""
        return bool(self._checkpoints())

    def latest_checkpoint(self) -> Path:
        """Return the newest complete checkpoint.

        Raises:
            UserError: if there is none yet.
        """
        found = self._checkpoints()
        if not found:
            raise UserError(f"run '{self.place}' has no complete checkpoint yet.")
        return found[-1]

    def checkpoint_of(self, experiment: Experiment) -> Checkpoint:
        """Return the newest complete checkpoint, to go on from with an experiment.

        Raises:
            UserError: if there is none, or it is damaged or of another experiment.
        """
        checkpoint = read_checkpoint(self.latest_checkpoint())
        if checkpoint.digest != experiment_digest(experiment):
            raise UserError(
                f"'{checkpoint.path}' is a checkpoint of another experiment: "
                f"{', '.join(RESUMED)}, fleet.instances, learners and merge "
                "have to be those of the run."
            )
        return checkpoint

    def latest_policy(self) -> MlpPolicy:
        """Return the policy of the newest complete checkpoint."""
        return load_policy(self.latest_checkpoint() / "policy.safetensors")

    def _checkpoints(self) -> list[Path]:
        files = (self.path / "checkpoints").glob(f"[0-9]*/{CHECKPOINT_MARKER}")
        return sorted(file.parent for file in files)


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
        path: of its directory.
        digest: of the experiment that wrote it.
        counters: plain values.
        groups: arrays by name, by file.
    """

    path: Path
    digest: str
    counters: dict[str, Any]
    groups: dict[str, dict[str, npt.NDArray[Any]]]


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        UserError: if one of its files is missing, cut short or damaged.
    """
    file = path / CHECKPOINT_MARKER
    try:
        about = json.loads(file.read_text())
        groups = {}
        for name in about["groups"]:
            file = path / f"{name}.safetensors"
            groups[name] = load_file(file)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise UserError(f"checkpoint file '{file}' is cut short or damaged: {error}") from error
    return Checkpoint(path, about["digest"], about["counters"], groups)


def experiment_digest(experiment: Experiment) -> str:
    """Return a digest of all that a resumed run has to share with the one that it goes on from."""
    description = experiment.resolved()
    shared = {name: description.get(name) for name in RESUMED}
    learner = experiment.learner
    free = learner.free_on_resume if isinstance(learner, AnyLearnerSettings) else ()
    shared["learner"] = {k: v for k, v in (shared["learner"] or {}).items() if k not in free}
    fleet = description["fleet"]
    shared |= {name: fleet.get(name) for name in ("instances", "learners", "merge")}
    return hashlib.blake2b(json.dumps(shared, sort_keys=True).encode(), digest_size=16).hexdigest()


def run_steps(experiment: Experiment) -> int:
    """Return after how many steps of its learner a run of an experiment ends."""
    learner, steps = experiment.learner, experiment.steps
    return learner.run_steps(steps) if isinstance(learner, AnyLearnerSettings) else steps


def check_output(path: Path, *, force: bool, marker: str = "config.yaml") -> None:
    """Check that a run, or a sweep, may be written to a path.

    Args:
        path: where.
        force: whether one that is there already may be replaced.
        marker: the file by which to know what may be replaced.

    Raises:
        UserError: if something is there that may not be replaced, or it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"output '{path}' exists and is not a directory.")
    if path.is_dir() and any(path.iterdir()):
        if not force:
            raise UserError(
                f"output '{path}' exists; choose another --out, or --force to replace it."
            )
        if not (path / marker).is_file():
            raise UserError(
                f"output '{path}' exists without {marker}, so --force won't replace it."
            )
    parent = next(p for p in [path, *path.absolute().parents] if p.exists())
    if not parent.is_dir():
        raise UserError(f"output '{path}' cannot be written: '{parent}' is not a directory.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"output '{path}' cannot be written: no permission in '{parent}'.")


def provenance(seed: int) -> dict[str, Any]:
    """Return what a reader needs to know of how a run came about."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "run": uuid.uuid4().hex,
        "troupe": version("troupe"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _cpu_name(),
        "cores": num_cores(),
        "git": _git_revision(),
        "seed": seed,
        "versions": versions,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git_revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
