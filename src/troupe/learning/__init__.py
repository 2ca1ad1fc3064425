"""Learners: what turns fragments into better policies, in JAX.

Enters: fragments. Leaves: policies in numpy, with their normalisation. Knows no simulator and no
Ray. `ppo` learns from what has just been sampled (`ppo_update`, `ppo_loss`, `gae`, `vtrace` are its
mathematics), `sac` from a `replay` of all that was (`her` relabels it), `offline` from stored
episodes. `weighting` says how much each step counts, `merging` how several models become one. To
add a learner, copy
`ppo_settings.py` and name the settings class in the entry-point group ``troupe.learners``.
"""

from troupe.learning.base import Learner

__all__ = ["Learner"]
