"""Learners: what turns fragments into better policies, in JAX.

Enters: fragments. Leaves: policies in numpy, with their normalisation. Knows no simulator and no
Ray. `ppo` is the learner, `gae`, `normalisation` and `networks` its mathematics. To add one, copy
`ppo_settings.py` and name the settings class in the entry-point group ``troupe.learners``.
"""

from troupe.learning.base import Learner

__all__ = ["Learner"]
