import mujoco
import numpy as np

from benchmarks.plain_reach import EPISODE_STEPS, LIMIT_COST, PRECISION_M, PlainScaraReach
from troupe.experiments.environments import TroupeEnv


def test_the_hand_written_environment_is_scara_reach():
    # what these are tuned to does not matter for how long a step takes
    same = [f"task.precision_m={PRECISION_M}", f"task.limit_cost={LIMIT_COST}"]
    ours, plain = TroupeEnv("scara-reach", same), PlainScaraReach()
    plain.reset(seed=0)
    start, _ = ours.reset(seed=0)
    plain.data.qpos[:] = start[:3]
    plain.data.ctrl[:] = start[:3] + start[9:12]
    mujoco.mj_step1(plain.model, plain.data)
    plain.target = start[3:6] + plain.data.site("tool").xpos

    rng = np.random.default_rng(0)
    for step in range(1, EPISODE_STEPS + 1):
        action = rng.uniform(-1.2, 1.2, 3)
        expected, reward, terminated, truncated, _ = ours.step(action)
        observation, plain_reward, *_ = plain.step(action)
        np.testing.assert_allclose(observation, expected, atol=1e-5)
        np.testing.assert_allclose(plain_reward, reward, atol=1e-5)
        assert (terminated, truncated) == (False, step == EPISODE_STEPS)
    assert ours.observation_space == plain.observation_space
    assert ours.action_space == plain.action_space
    ours.close()
