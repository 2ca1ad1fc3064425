"""Policies of the user's own, from a Python file, in whatever framework they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from troupe.core.errors import UserError
from troupe.core.user_code import find_in_file, load_file, user_traceback
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.policies import Policy, PolicyStep

PLACE = re.compile(r"(?P<file>.+\.py)(?::(?P<name>\w*))?")


def open_own_policy(place: str, experiment: Experiment) -> Policy:
    """Return what a function of a user's file makes, after it has acted once.

    Args:
        place: ``path/file.py:name`` of a function or class that takes the experiment.
        experiment: in which it acts.

    Raises:
        UserError: if there is no such file or name, it raises, or what it returns is no policy or
            acts as the experiment does not allow.
    """
    where = "--policy"
    found = PLACE.fullmatch(place)
    assert found is not None
    path = Path(found["file"])
    if not path.is_file():
        raise UserError(f"{where}: there is no file '{path}'.")
    if not found["name"]:
        raise UserError(f"{where}: say what makes the policy, '{path}:NAME'.")
    where = f"{where} {place}"
    make = find_in_file(load_file(path.absolute(), where), found["name"], where)
    try:
        policy = make(experiment)
    except UserError:
        raise
    except Exception as error:  # of any kind: it is the user's code
        raise UserError(f"{where}: it raised:\n{user_traceback(error)}") from error
    _check(policy, experiment, where)
    made: Policy = policy
    return made


def is_own_policy(name: str) -> bool:
    """Whether a policy's name is that of a Python file."""
    return PLACE.fullmatch(name) is not None


def _check(policy: Any, experiment: Experiment, where: str) -> None:
    """Let a policy act once, on zeros, and check what it says."""
    for name in ("version", "noise_size"):
        value = getattr(policy, name, None)
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
            raise UserError(
                f"{where}: a policy has a whole number '{name}' of at least 0, not {value!r}."
            )
    if not callable(getattr(policy, "act", None)):
        raise UserError(f"{where}: a policy has a method 'act'; {type(policy).__name__} has none.")
    observed, action, _ = specs(experiment)
    observation = np.zeros((1, *observed.shape), observed.dtype)
    noise = np.zeros((1, policy.noise_size), np.float32)
    try:
        step = policy.act(observation, noise, 0)
    except Exception as error:  # of any kind: it is the user's code
        raise UserError(
            f"{where}: act raised for an observation of zeros, {observation.shape}:\n"
            f"{user_traceback(error)}"
        ) from error
    if not isinstance(step, PolicyStep):
        raise UserError(
            f"{where}: act returns a troupe.policies.PolicyStep, not {type(step).__name__}."
        )
    for name, shape in (("action", (1, *action.shape)), ("log_prob", (1,))):
        values = getattr(step, name)
        if not isinstance(values, np.ndarray) or values.shape != shape:
            given = getattr(values, "shape", type(values).__name__)
            raise UserError(
                f"{where}: for one observation '{name}' is a numpy array of shape {shape}, "
                f"not {given}."
            )
    if not np.isfinite(step.action).all():
        raise UserError(f"{where}: the action for an observation of zeros is {step.action}.")
