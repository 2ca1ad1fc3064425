import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from troupe.tasks import rewards


def test_distance_is_the_euclidean_length() -> None:
    error = np.array([[0.003, 0.004, 0.0], [0.0, 0.0, -0.1], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(rewards.distance(error), [0.005, 0.1, 0.0])


def test_angle_between_orientations() -> None:
    rng = np.random.default_rng(0)
    first, second = Rotation.random(50, rng=rng), Rotation.random(50, rng=rng)
    expected = (first.inv() * second).magnitude()
    found = rewards.rotation_angle(first.as_matrix(), second.as_matrix())
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_precise_rewards_nearness_at_every_scale() -> None:
    # -e + s / (e + s) - 1 with s = 0.01
    found = rewards.precise(np.array([0.0, 0.01, 0.09]), 0.01)
    np.testing.assert_allclose(found, [0.0, -0.51, -0.99])


def test_nearness_falls_from_one_to_zero() -> None:
    # tanh(1) = 0.7615942
    found = rewards.near(np.array([0.0, 0.1, 10.0]), 0.1)
    np.testing.assert_allclose(found, [1.0, 0.2384058, 0.0], atol=1e-7)


def test_progress_is_the_share_of_the_way_from_start_to_goal() -> None:
    found = rewards.progress(np.array([0.01, 0.02, 0.06, 0.3]), np.full(4, 0.02), 0.1)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.5, 1.0])


def test_scara_reward_is_the_published_one() -> None:
    # e = d / sqrt(3): 1 - e below 5 mm, -e from there on
    distance = np.array([0.001, 0.005, 0.3]) * np.sqrt(3)
    np.testing.assert_allclose(rewards.scara_point(distance, 0.005), [0.999, -0.005, -0.3])


@pytest.mark.parametrize(
    ("rms_m", "angle_rad", "collided", "orientation", "reward"),
    [
        # D = 1 + 10 at the target, less 1
        (0.0, 0.0, False, False, 10.0),
        # D = (e^-0.5 - e^-5) / (1 - e^-5) + 10 (e^-25 - e^-250) / (1 - e^-250) = 0.6038615
        (0.1, 0.0, False, False, -0.3961385),
        # O = (2 - 0.5^1.5) / 2 = 0.8232233, D = 11
        (0.0, np.pi / 2, False, True, 8.0554563),
        # the angle does not count
        (0.0, np.pi / 2, False, False, 10.0),
        # C = 3 (2 * 0.1)^0.03 = 2.8585919
        (0.1, 0.0, True, False, -3.2547304),
        # C = 3 from 0.5 m on, D = (e^-5 - e^-5) / (1 - e^-5) + 10 e^-250 = 0
        (1.0, 0.0, True, False, -4.0),
    ],
)
def test_mara_reward_is_the_published_one(
    rms_m: float, angle_rad: float, collided: bool, orientation: bool, reward: float
) -> None:
    distance_m = np.array([rms_m * np.sqrt(3)])
    found = rewards.mara_point(distance_m, np.array([angle_rad]), np.array([collided]), orientation)
    np.testing.assert_allclose(found, [reward], atol=1e-6)


def test_limit_excess_by_hand():
    limits = np.array([[-2.0, 0.0], [2.0, 4.0]])
    # at the middle, at three quarters, at a limit each, and half a half-width beyond the limit
    position = np.array([[0.0, 2.0], [1.5, 0.5], [-2.0, 4.0], [3.0, 2.0]])
    np.testing.assert_allclose(rewards.limit_excess(position, limits), [0, 0, 0.5, 0.75])
