"""The fleet: who steps the instances, learns, supervises and evaluates.

Enters: an experiment. Leaves: a run directory with metrics, checkpoints and an evaluation.
`sampler` is an actor's loop, `training` the learner's, `actors` the same over Ray.
"""

import os

# before Ray is imported: under `uv run` it would rebuild the environment in each of its processes
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# and what Ray says of its own would go to standard output, between what a command prints
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
