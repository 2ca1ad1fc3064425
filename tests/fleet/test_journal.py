"""What has arrived is not lost with the learner."""

import numpy as np
import pytest

from troupe.episodes import Fragment
from troupe.fleet.journal import Arrival, Journal
from troupe.fleet.runs import RunDirectory
from troupe.fleet.sampler import FaultRecord, Sample
from troupe.fleet.training import Training


def arrival(number: int, num_steps: int = 3) -> Arrival:
    """Steps of two instances, all of whose values tell the number."""
    shape = (num_steps, 2)
    fragment = Fragment(
        observation=np.full((num_steps + 1, 2, 4), number, np.float32),
        action=np.full((*shape, 1), number, np.float32),
        log_prob=np.zeros(shape, np.float32),
        reward=np.full(shape, number, np.float32),
        terminated=np.zeros(shape, np.bool_),
        truncated=np.zeros(shape, np.bool_),
        final_step=np.empty((0, 2), np.int64),
        final_observation=np.empty((0, 4), np.float32),
        version=np.full(shape, number),
        time_ns=np.zeros(shape, np.int64),
        instance=np.tile([4, 5], (num_steps, 1)),
        episode=np.zeros(shape, np.int64),
    )
    fault = FaultRecord(4, 1, 2, "NaN", {"arm.position": np.array([1.0, 2.0])})
    episodes = {"return": np.array([float(number)]), "truncated": np.array([True])}
    return Arrival(number, 4, Sample(fragment, episodes, [fault]), {"x": np.full((2, 3), number)})


def returns(journal: Journal) -> list[float]:
    return [float(found.sample.episodes["return"][0]) for found in journal.arrivals]


def test_what_arrived_is_read_again_whole(tmp_path):
    journal = Journal(tmp_path, 7)
    for number in (1, 2):
        journal.arrived(arrival(number))
    journal.close()
    again = Journal(tmp_path, 7)
    assert returns(again) == [1.0, 2.0]
    assert again.num_steps == 12
    found, given = again.arrivals[1], arrival(2)
    assert (found.version, found.first_instance) == (2, 4)
    for name, values in given.sample.fragment.arrays().items():
        np.testing.assert_array_equal(found.sample.fragment.arrays()[name], values)
    np.testing.assert_array_equal(found.snapshot["x"], given.snapshot["x"])
    (fault,) = found.sample.faults
    assert fault.reason == "NaN"
    np.testing.assert_array_equal(fault.last_state["arm.position"], [1.0, 2.0])


def test_a_record_cut_short_by_death_is_as_if_it_had_not_arrived(tmp_path):
    journal = Journal(tmp_path, 0)
    for number in (1, 2, 3):
        journal.arrived(arrival(number))
    journal.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for length in (len(whole) - 1, len(whole) * 2 // 3 + 5):
        file.write_bytes(whole[:length])
        assert returns(Journal(tmp_path, 0)) == [1.0, 2.0]
    file.write_bytes(whole[:-40] + bytes(40))
    again = Journal(tmp_path, 0)
    again.arrived(arrival(4))  # takes the place of the damaged one
    again.close()
    assert returns(Journal(tmp_path, 0)) == [1.0, 2.0, 4.0]


def test_a_checkpoint_begins_a_new_file_with_what_it_does_not_hold(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.arrived(arrival(1))
    journal.arrived(arrival(2))
    journal.close()
    journal = Journal(tmp_path, 0)
    journal.asked(16)
    journal.arrivals.popleft()
    journal.begin(512)
    journal.close()
    assert Journal(tmp_path, 0).num_steps == 0
    again = Journal(tmp_path, 512)
    assert returns(again) == [2.0]
    assert again.num_asked == 16


def test_steps_that_do_not_come_any_more_are_told(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.asked(16)
    journal.asked(8)
    journal.answered(16)
    journal.lost(4)
    journal.close()
    again = Journal(tmp_path, 0)
    assert (again.num_asked, again.num_lost) == (8, 4)


def test_without_a_folder_nothing_is_kept():
    journal = Journal()
    journal.arrived(arrival(1))
    journal.begin(3)
    assert not journal.arrivals


class DeathError(Exception):
    """Stands for one that no code can handle: nothing is saved after it."""


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("mode", ["synchronous", "preemptive", "asynchronous"])
def test_a_learner_that_died_comes_to_the_same_policy_again(cluster, small, tmp_path, mode):
    fleet = ("fleet.workers=2", "fleet.fragment=8", "fleet.checkpoint_every=1h")
    experiment = small(*fleet, f"fleet.mode={mode}", "learner.lag=0", steps=10**6)
    run = RunDirectory.create(tmp_path / "run", experiment)

    def sitting(until: int) -> tuple[dict[int, np.ndarray], Training]:
        weights: dict[int, np.ndarray] = {}

        def look(row: dict[str, float]) -> None:
            weights[row["update"]] = training.policy().parameters["actor.0.weight"].copy()
            if row["update"] == until:
                raise DeathError

        training = Training(experiment, report=look)
        with pytest.raises(DeathError):
            training.train(run)
        training.close()
        return weights, training

    first, dead = sitting(until=5)
    again, training = sitting(until=6)
    for update, weights in first.items():
        np.testing.assert_array_equal(again[update], weights)
    # the next one has all that the first one had, and more
    assert training.progress.steps == 6 * 256
    received = dead._workers.arrived
    assert training._workers.arrived >= received
    lost = training._workers.lost
    assert lost == 0 if mode == "synchronous" else lost <= 2 * 2 * 8 * 8
    training._count_steps()
    assert training.progress.dropped_steps == lost
