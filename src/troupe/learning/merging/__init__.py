"""Merging: how the models of several learners become one.

Enters: models of peers, dictionaries of numpy arrays. Leaves: one such dictionary, and which peers
sent what cannot be used. `base` holds the contract, `models` the mathematics that merges share,
`divergence` how far learners are from each other. A merge knows neither learners nor Ray: who sends
what to whom is the business of `troupe.fleet.peers`. To add one, copy `median.py`, name its
settings class in the entry-point group ``troupe.merges``, and test it with `conformance`.
"""

from troupe.learning.merging.base import Merge, Merged, MergeSettings, Model, TooFewModels

__all__ = ["Merge", "MergeSettings", "Merged", "Model", "TooFewModels"]
