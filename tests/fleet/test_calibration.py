import time

import numpy as np

from troupe.fleet import calibration
from troupe.fleet.calibration import calibrate
from troupe.loop import FixedStepLoop


def test_bytes_are_those_of_fragments_snapshots_and_policies(small):
    found = calibrate(small(), 8)
    # weights 16x16 and the normaliser, in float32
    assert found.policy_bytes > 4 * 16 * 16
    assert found.step_bytes > 8
    assert found.state_bytes > 8


def test_waiting_is_told_from_work_and_declared_slowness_is_left_out(small, monkeypatch):
    advance = FixedStepLoop.advance

    def slow(self, *given):
        time.sleep(0.05)
        return advance(self, *given)

    monkeypatch.setattr(FixedStepLoop, "advance", slow)
    found = calibrate(small("engines.arm.step_time=10s"), 2)
    assert 0.01 < found.step_wait_s < 5
    assert found.step_cpu_s < found.step_wait_s


def test_threads_that_wait_for_a_core_are_counted_where_the_system_says():
    assert np.isfinite(calibration._queued_s())
