"""What a user writes about SAC; importable without JAX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from troupe.core.arrays import ArraySpec
from troupe.core.goals import Goals
from troupe.learning.base import LearnerSettings
from troupe.policies.mlp import Activation

if TYPE_CHECKING:
    from troupe.learning.sac import SAC


class SACSettings(LearnerSettings):
    """Soft actor-critic, which learns from each step many times.

    Attributes:
        batch: steps of all instances together for one update.
        minibatch: steps for one gradient step.
        updates_per_step: gradient steps for each step of an instance.
        actor_every: gradient steps of the critics for one of the actor.
        start_steps: of the first policy, which acts nearly at random, before the first update.
        replay_capacity: steps that are kept, the newest ones.
        replay_directory: of ring files: the learner's own goes there, and all others in it are
            learned from too; default: a private one that is gone when the run ends.
        hindsight: for each step as it was, steps learned from as if the goal had been what was
            achieved later; for tasks with goals.
        step_size: of the gradient steps (Adam).
        gamma: discount of a step.
        polyak: share of the target networks that a gradient step keeps.
        critics: how many; the least of their values counts.
        critic_layer_norm: whether the critics' hidden layers are normalised.
        critic_dropout: share of the critics' hidden units that are dropped in learning.
        initial_temperature: weight of the entropy at first; it then follows `target_entropy`.
        target_entropy: of the actions, for each component.
        reward_scale: factor of the rewards.
        normalise_observations: by their running mean and deviation.
        hidden: widths of the hidden layers of actor and critics.
        activation: between layers.
        initial_std: of the actions at first, before they are squashed into -1 .. 1.
        lag: 1 to sample while updating, 0 to do one after the other.
    """

    weighs_fragments: ClassVar[bool] = False

    type: Literal["sac"] = "sac"
    batch: int = Field(64, ge=1)
    minibatch: int = Field(256, ge=1)
    updates_per_step: float = Field(1.0, gt=0)
    actor_every: int = Field(1, ge=1)
    start_steps: int = Field(1000, ge=0)
    replay_capacity: int = Field(1_000_000, ge=1)
    replay_directory: Path | None = None
    hindsight: int = Field(0, ge=0)
    step_size: float = Field(1e-3, gt=0)
    gamma: float = Field(0.99, ge=0, le=1)
    polyak: float = Field(0.995, ge=0, lt=1)
    critics: int = Field(2, ge=1)
    critic_layer_norm: bool = True
    critic_dropout: float = Field(0.0, ge=0, lt=1)
    initial_temperature: float = Field(0.1, gt=0)
    target_entropy: float = -1.0
    reward_scale: float = Field(1.0, gt=0)
    normalise_observations: bool = True
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 128)
    activation: Activation = "relu"
    initial_std: float = Field(1.0, gt=0)
    lag: int = Field(0, ge=0, le=1)

    def build(
        self,
        observation: ArraySpec,
        action: ArraySpec,
        seed: int,
        num_updates: int,
        goals: Goals | None = None,
    ) -> SAC:
        """Return a new learner with weights drawn from the seed.

        Raises:
            UserError: if actions are categories, or hindsight is wanted of a task without goals.
        """
        from troupe.learning.sac import SAC

        return SAC(self, observation, action, seed, num_updates, goals)
