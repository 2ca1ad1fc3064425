"""What an actor acts with while newer policies arrive."""

import numpy as np
import pytest

from troupe.fleet.policy_feed import PolicyFeed
from troupe.policies import MlpPolicy


def constant(version: int) -> MlpPolicy:
    """A policy whose action is its version."""
    parameters = {
        "actor.0.weight": np.zeros((2, 1), np.float32),
        "actor.0.bias": np.full(1, version, np.float32),
        "log_std": np.full(1, -20, np.float32),
    }
    return MlpPolicy(parameters, np.zeros(2), np.ones(2), version=version)


def acted(feed: PolicyFeed) -> list[int]:
    """Act once for three instances; check that actions and versions agree."""
    step, version = feed.act(np.zeros((3, 2)), np.zeros((3, 1), np.float32), 0)
    np.testing.assert_allclose(step.action[:, 0], version)
    return version.tolist()


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("immediate", [[1, 1, 1], [2, 2, 2], [2, 2, 2], [3, 3, 3]]),
        ("fragment", [[1, 1, 1], [1, 1, 1], [1, 1, 1], [3, 3, 3]]),
        ("episode", [[1, 1, 1], [1, 1, 1], [1, 2, 1], [3, 2, 1]]),
    ],
)
def test_newer_policies_are_taken_up_when_they_should(update, expected):
    feed = PolicyFeed(3, update)
    feed.newest = constant(1)
    feed.begin_fragment()
    versions = [acted(feed)]
    feed.newest = constant(2)
    versions.append(acted(feed))
    feed.begin_episodes(np.array([1]))
    versions.append(acted(feed))
    feed.newest = constant(3)
    feed.begin_fragment()
    feed.begin_episodes(np.array([0]))
    versions.append(acted(feed))
    assert versions == expected


def test_versions_that_were_noted_stay():
    feed = PolicyFeed(3, "immediate")
    feed.newest = constant(1)
    feed.begin_fragment()
    _, noted = feed.act(np.zeros((3, 2)), np.zeros((3, 1), np.float32), 0)
    feed.newest = constant(2)
    acted(feed)
    assert noted.tolist() == [1, 1, 1]
