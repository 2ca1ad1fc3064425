"""Policies by name: scripted ones, what a run has learned, or the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from troupe.core.errors import UserError
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.collecting.depth_heuristic import DepthHeuristic
from troupe.fleet.collecting.own_policy import is_own_policy, open_own_policy
from troupe.fleet.runs import RunDirectory
from troupe.policies import Policy
from troupe.policies.scripted import UniformPolicy, ZeroPolicy

SCRIPTED: dict[str, Callable[[int], Policy]] = {"random": UniformPolicy, "zero": ZeroPolicy}


def open_policy(name: str, experiment: Experiment) -> Policy:
    """Return a scripted policy, the newest one of a run, or one of the user's own.

    Args:
        name: ``random``, ``zero``, ``heuristic``, the directory of a run, or ``path/file.py:name``
            of a function or class that makes a policy for an experiment.
        experiment: whose actions the scripted ones choose.

    Raises:
        UserError: if there is none of that name, or it does not fit the experiment.
    """
    if name in SCRIPTED:
        _, action, _ = specs(experiment)
        if action.categories or len(action.shape) != 1:
            raise UserError(f"--policy {name}: it chooses continuous actions, {action} are not.")
        return SCRIPTED[name](action.shape[0])
    if name == "heuristic":
        return DepthHeuristic(experiment)
    if is_own_policy(name):
        return open_own_policy(name, experiment)
    if not Path(name).is_dir():
        raise UserError(
            f"--policy: '{name}' is neither a run's directory nor one of "
            f"{', '.join([*SCRIPTED, 'heuristic'])}, nor a Python file with a name, FILE.py:NAME."
        )
    return RunDirectory.open(Path(name)).latest_policy()


def for_any_directory(name: str) -> str:
    """Return a policy's name as workers can open it that have another working directory."""
    return name if name in (*SCRIPTED, "heuristic") else str(Path(name).absolute())
