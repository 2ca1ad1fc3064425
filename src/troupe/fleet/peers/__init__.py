"""Several learners, each with its own experience, whose models are merged while they learn.

Enters: a factory of local models and a merge. Leaves: one model. `local` says what a local model is
and `simulated` makes one of an experiment; `process` is a learner's Ray actor and `pool` all of
them; `rounds`, `gradients`, `server` and `gossip` are the ways to exchange; `training` makes a run.
To exchange in another way, copy `rounds.py`.
"""
