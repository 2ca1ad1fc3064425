"""Policies by name: scripted ones, or what a run has learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from troupe.core.errors import UserError
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.collecting.depth_heuristic import DepthHeuristic
from troupe.fleet.runs import RunDirectory
from troupe.policies import Policy
from troupe.policies.scripted import UniformPolicy, ZeroPolicy

SCRIPTED: dict[str, Callable[[int], Policy]] = {"random": UniformPolicy, "zero": ZeroPolicy}


def open_policy(name: str, experiment: Experiment) -> Policy:
    """Return a scripted policy, or the newest one of a run.

    Args:
        name: ``random``, ``zero``, ``heuristic``, or the directory of a run.
        experiment: whose actions the scripted ones choose.

    Raises:
        UserError: if there is none of that name, or its actions are not the experiment's.
    """
    if name in SCRIPTED:
        _, action, _ = specs(experiment)
        if action.categories or len(action.shape) != 1:
            raise UserError(f"--policy {name}: it chooses continuous actions, {action} are not.")
        return SCRIPTED[name](action.shape[0])
    if name == "heuristic":
        return DepthHeuristic(experiment)
    if not Path(name).is_dir():
        raise UserError(
            f"--policy: '{name}' is neither a run's directory nor one of "
            f"{', '.join([*SCRIPTED, 'heuristic'])}."
        )
    return RunDirectory.open(Path(name)).latest_policy()
