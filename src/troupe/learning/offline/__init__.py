"""Learners that learn from stored episodes alone (docs/derivations-offline.md).

Enters: episodes of a store with their observations (`stored`), cut into transitions from one
decision to the next (`transitions`). Leaves: policies in numpy. `learner` draws minibatches as a
weighting says (`draws`) and takes compiled gradient steps; what a gradient step does is a `Rule`:
`bc` imitates, `iql` also learns which of the stored actions were good ones. To add one, copy
`bc_settings.py` and `bc.py`, and name the settings class in the entry-point group
``troupe.learners``.
"""
