"""What a user writes about PPO; importable without JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from troupe.core.arrays import ArraySpec
from troupe.core.goals import Goals
from troupe.learning.base import LearnerSettings
from troupe.policies.mlp import Activation, Distribution

if TYPE_CHECKING:
    from troupe.learning.ppo import PPO


class PPOSettings(LearnerSettings):
    """Proximal policy optimisation.

    Names of robot_gym and RLlib for these settings are accepted too: see docs/settings.md.

    Attributes:
        batch: steps of all instances together for one update.
        minibatch: steps for one gradient step; divides the batch.
        epochs: passes over the batch.
        step_size: of the gradient steps (Adam), at the start.
        schedule: of the step size: ``linear`` falls to 0 at the end of the run, ``constant``
            stays, ``kl-adaptive`` follows `target_kl`.
        target_kl: divergence from the old policy that ``kl-adaptive`` aims at.
        gamma: discount of a step.
        gae_lambda: of generalised advantage estimation.
        clip: range of the probability ratio about 1.
        correction: for steps that an older policy took. ``decoupled`` weighs them with the ratio
            of the policy before the update to the one that acted, and clips about the former;
            ``vtrace`` also estimates values and advantages with these ratios; ``none`` clips about
            the policy that acted, whichever it was.
        max_importance: where the ratios of the correction are cut.
        kl_coefficient: of a penalty on the divergence from the old policy.
        value_coefficient: of the value loss.
        entropy_coefficient: of the bonus for entropy.
        max_gradient_norm: to which gradients are clipped.
        normalise_observations: by their running mean and deviation.
        normalise_returns: of the values that the critic learns.
        normalise_advantages: within each minibatch or over the whole batch.
        hidden: widths of the hidden layers of actor and critic.
        activation: between layers.
        initial_std: of the actions, relative to their range -1 .. 1.
        std: whether the deviation of continuous actions is ``shared`` by all states, or depends
            on the ``state``, so that a policy can be precise in one and explore in another.
        lag: 1 to sample while updating, 0 to do one after the other.
    """

    type: Literal["ppo"] = "ppo"
    batch: int = Field(4096, ge=1)
    minibatch: int = Field(512, ge=1)
    epochs: int = Field(10, ge=1)
    step_size: float = Field(1e-3, gt=0)
    schedule: Literal["linear", "constant", "kl-adaptive"] = "linear"
    target_kl: float = Field(0.01, gt=0)
    gamma: float = Field(0.99, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip: float = Field(0.2, gt=0)
    correction: Literal["none", "decoupled", "vtrace"] = "decoupled"
    max_importance: float = Field(2.0, ge=1)
    kl_coefficient: float = Field(0.0, ge=0)
    value_coefficient: float = Field(0.5, ge=0)
    entropy_coefficient: float = Field(0.0, ge=0)
    max_gradient_norm: float = Field(0.5, gt=0)
    normalise_observations: bool = True
    normalise_returns: bool = True
    normalise_advantages: Literal["minibatch", "batch", "none"] = "minibatch"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64, 64)
    activation: Activation = "tanh"
    initial_std: float = Field(1.0, gt=0)
    std: Literal["shared", "state"] = "shared"
    lag: int = Field(1, ge=0, le=1)

    @model_validator(mode="after")
    def _check_minibatch(self) -> PPOSettings:
        if self.batch % self.minibatch:
            raise ValueError(
                f"minibatch ({self.minibatch}) must divide batch ({self.batch}) without remainder"
            )
        return self

    def distribution(self, action: ArraySpec) -> Distribution:
        """Return the distribution of actions that a policy for them has."""
        if action.categories:
            return "categorical"
        return "normal" if self.std == "shared" else "state-normal"

    def build(
        self,
        observation: ArraySpec,
        action: ArraySpec,
        seed: int,
        num_updates: int,
        goals: Goals | None = None,
    ) -> PPO:
        """Return a new learner with weights drawn from the seed."""
        from troupe.learning.ppo import PPO

        return PPO(self, observation, action, seed, num_updates)
