"""Registers every bundled experiment with a task as a Gymnasium environment.

After ``import troupe.envs``, ``gymnasium.make("troupe/ScaraReach-v0")`` is the experiment
``scara-reach``, and ``gymnasium.make_vec`` many instances of it on one engine. Without the import,
``gymnasium.make("troupe.envs:troupe/ScaraReach-v0")`` does the same. Settings are changed with
``overrides=["task.action=position"]``.
"""

import gymnasium

from troupe.experiments.load import trainable_names


def environment_id(experiment: str) -> str:
    """Return the id of a bundled experiment's environment, e.g. "troupe/ScaraReach-v0"."""
    name = "".join(part.capitalize() for part in experiment.split("-"))
    return f"troupe/{name}-v0"


for _name in trainable_names():
    gymnasium.register(
        id=environment_id(_name),
        entry_point="troupe.experiments.environments:make_environment",
        vector_entry_point="troupe.experiments.environments:TroupeVectorEnv",
        kwargs={"experiment": _name},
        max_episode_steps=None,  # the environment truncates its episodes itself
    )
