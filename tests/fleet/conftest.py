from collections.abc import Callable, Iterator

import pytest

from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.cluster import connected

SMALL = (
    "fleet.instances=16",
    "learner.batch=256",
    "learner.minibatch=64",
    "learner.epochs=2",
    "learner.hidden=[16,16]",
    "learner.lag=1",
    "task.episode=400ms",
    "evaluation.episodes=5",
    "fleet.checkpoint_every=1h",
)


@pytest.fixture
def small() -> Callable[..., Experiment]:
    """A SCARA experiment of a few seconds; `steps` and more overrides can be given."""

    def make(*overrides: str, steps: int = 1024) -> Experiment:
        return load_experiment("scara-reach", [*SMALL, f"steps={steps}", *overrides])

    return make


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """One local Ray for all tests that need one; they are in the group "ray" of xdist."""
    with connected(None):
        yield
