"""The fleet: who steps the instances, learns, supervises and evaluates.

Enters: an experiment. Leaves: a run directory with metrics, checkpoints and an evaluation.
`sampler` is an actor's loop, `training` the learner's, `actors` the same over Ray.
"""
