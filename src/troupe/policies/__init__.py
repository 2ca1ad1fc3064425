"""Policies: what acts, in plain numpy, so that an actor stays small.

Enters: observations and noise. Leaves: actions with their log-probabilities. `mlp` is what
learners produce, `scripted` holds policies that need no learning, `storage` saves and loads.
"""

from troupe.policies.base import Policy, PolicyStep
from troupe.policies.mlp import MlpPolicy

__all__ = ["MlpPolicy", "Policy", "PolicyStep"]
