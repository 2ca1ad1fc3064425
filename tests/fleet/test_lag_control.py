"""The controller of the policy lag."""

import numpy as np

from troupe.fleet.lag_control import RECENT, LagController


def late(controller: LagController, worker: int, lag: int, num_steps: int = RECENT) -> None:
    """Let many steps of a worker be late, past those that were asked for before a change."""
    for _ in range(4):
        controller.observe(worker, np.full(num_steps, lag))


def test_fragments_of_a_late_worker_become_shorter_and_no_other():
    controller = LagController(2, longest=32, max_lag=4)
    controller.observe(0, np.full(64, 15))
    assert controller.steps(0) == 8  # 32 steps, a quarter of them within the bound: 4 / (15 + 1)
    assert controller.steps(1) == 32
    assert controller.changes == 1


def test_steps_asked_for_before_a_change_do_not_count():
    controller = LagController(1, longest=32, max_lag=4)
    controller.observe(0, np.full(64, 15))
    controller.observe(0, np.full(64, 15))
    controller.observe(0, np.full(64, 15))
    assert controller.steps(0) == 8
    controller.observe(0, np.full(64, 15))
    assert controller.steps(0) == 2


def test_when_single_steps_are_late_no_more_is_asked_for_ahead():
    controller = LagController(1, longest=32, max_lag=1)
    late(controller, 0, 50)
    late(controller, 0, 50)
    assert (controller.steps(0), controller.in_flight(0)) == (1, 1)


def test_a_few_late_steps_are_within_the_bound():
    controller = LagController(1, longest=32, max_lag=4)
    lag = np.zeros(100, np.int64)
    lag[:5] = 9
    controller.observe(0, lag)
    assert controller.changes == 0


def test_a_worker_far_within_the_bound_gets_long_fragments_again():
    controller = LagController(1, longest=32, max_lag=4)
    controller.observe(0, np.full(64, 30))
    assert controller.steps(0) == 4
    for _ in range(100):
        controller.observe(0, np.ones(RECENT, np.int64))
    assert (controller.steps(0), controller.in_flight(0)) == (32, 2)
