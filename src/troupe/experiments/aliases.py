"""Names of robot_gym and RLlib for settings, accepted where Troupe's own would stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from troupe.core import UserError
from troupe.core.time import format_duration, parse_duration

# under `learner`: the name elsewhere, and ours
RENAMED = {
    "timesteps_per_batch": "batch",
    "train_batch_size": "batch",
    "num_sgd_iter": "epochs",
    "num_epochs": "epochs",
    "sgd_batchsize": "minibatch",
    "sgd_minibatch_size": "minibatch",
    "minibatch_size": "minibatch",
    "sgd_stepsize": "step_size",
    "lr": "step_size",
    "lambda": "gae_lambda",
    "lambda_": "gae_lambda",
    "kl_coeff": "kl_coefficient",
    "vf_loss_coeff": "value_coefficient",
    "entropy_coeff": "entropy_coefficient",
    "clip_param": "clip",
    "grad_clip": "max_gradient_norm",
}


def resolve_aliases(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description in which robot_gym's and RLlib's names stand under our own.

    Raises:
        UserError: if a setting is given under two names.
    """
    learner = description.get("learner")
    if not isinstance(learner, dict):
        return description
    learner = dict(learner)
    description = {**description, "learner": learner}
    for alias in [a for a in learner if a in RENAMED]:
        if RENAMED[alias] in learner and learner[alias] != learner[RENAMED[alias]]:
            # an alias comes from an override or the file and goes over the catalog's value
            learner.pop(RENAMED[alias])
        learner[RENAMED[alias]] = learner.pop(alias)
    for alias in [a for a in MOVED if a in learner]:
        MOVED[alias](description, learner.pop(alias))
    return description


def _section(description: dict[str, Any], name: str) -> dict[str, Any]:
    given = description.get(name) or {}
    if not isinstance(given, Mapping):
        raise UserError(f"{name}: give a mapping of keys to values, not {given!r}.")
    description[name] = dict(given)
    section: dict[str, Any] = description[name]
    return section


def _check_count(alias: str, value: Any) -> None:
    if not isinstance(value, int) or value < 1:
        raise UserError(f"learner.{alias}: give a whole number, at least 1, not {value!r}.")


def _workers(description: dict[str, Any], value: Any) -> None:
    _section(description, "fleet")["workers"] = value


def _horizon(description: dict[str, Any], value: Any) -> None:
    step = _section(description, "loop").get("step", "20ms")
    _check_count("horizon", value)
    _section(description, "task")["episode"] = format_duration(value * parse_duration(str(step)))


def _rollouts(description: dict[str, Any], value: Any) -> None:
    fleet = _section(description, "fleet")
    _check_count("rollout_batchsize", value)
    workers = fleet.get("workers", 0)
    fleet["instances"] = value * (workers if isinstance(workers, int) and workers > 0 else 1)


def _steps_per_task(description: dict[str, Any], value: Any) -> None:
    batch = description["learner"].get("batch")
    _check_count("min_steps_per_task", value)
    if not isinstance(batch, int):
        raise UserError("learner.min_steps_per_task: give the batch too, as a whole number.")
    _section(description, "fleet")["instances"] = max(1, round(batch / value))


# under `learner` elsewhere, but of another part here
MOVED: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "num_workers": _workers,
    "horizon": _horizon,
    "rollout_batchsize": _rollouts,
    "min_steps_per_task": _steps_per_task,
}
