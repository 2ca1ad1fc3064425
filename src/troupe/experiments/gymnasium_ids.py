"""Experiments that train on any Gymnasium environment, named by its id."""

from __future__ import annotations

import gymnasium

from troupe.core.time import format_duration
from troupe.engines.gymnasium_settings import GymnasiumSettings
from troupe.experiments.load import Description, read_description, trainable_names

UNLIMITED_STEPS = 10**6
"""Steps of an episode, for an environment that sets no limit."""


def describe_environment(id: str) -> Description:
    """Return the plain description of the experiment that trains on a Gymnasium environment.

    It is the catalog's, if that has one for the environment.

    Raises:
        UserError: if there is no such environment, or its spaces are not supported.
    """
    for name in trainable_names():
        description = read_description(name)
        if any(engine.get("id") == id for engine in description["engines"].values()):
            return description
    engine = GymnasiumSettings(id=id).build("env", num_instances=1, num_threads=1)
    step_ns = round(engine.spec.timestep_ns)
    limit = gymnasium.spec(engine.id).max_episode_steps or UNLIMITED_STEPS
    engine.close()
    return {
        "name": engine.id.rpartition("/")[2].lower(),
        "description": f"The Gymnasium environment {engine.id}.",
        "engines": {"env": {"type": "gymnasium", "id": id}},
        "loop": {"step": format_duration(step_ns)},
        "task": {"type": "gymnasium", "episode": format_duration(limit * step_ns)},
        "learner": {"type": "ppo"},
    }
