import numpy as np
import pytest

from tests.loop.conftest import MS, MakeLoop
from troupe.core.errors import UserError
from troupe.loop import ConnectionSettings, FixedStepLoop, From, To, transceiver


@transceiver
def forward(steps: From("a.steps")) -> To("b.given"):
    return steps + 1


def echoes(loop: FixedStepLoop, num_steps: int) -> np.ndarray:
    """What the second engine was given in each step, (num_steps, num_instances)."""
    seen = []
    for _ in range(num_steps):
        loop.advance()
        seen.append(loop.world.read("b.echo").copy())
    return np.array(seen)


def test_a_delay_on_the_way_to_an_engine(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, connections=[{"to": "b.given", "delay": "20ms"}])
    assert echoes(loop, 5)[:, 0].tolist() == [0, 0, 1, 2, 3]


def test_a_delay_on_the_way_to_a_function(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, connections=[{"from": "a.steps", "delay": "20ms"}])
    # until something arrives the function sees 0
    assert echoes(loop, 5)[:, 0].tolist() == [1, 1, 1, 2, 3]


def test_a_delay_of_nothing_is_none(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, connections=[{"to": "b.given", "delay": "0ms", "jitter": "0.0s"}])
    assert echoes(loop, 3)[:, 0].tolist() == [1, 2, 3]


def test_a_delay_between_two_synchronisations_lasts_until_the_next(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, connections=[{"to": "b.given", "delay": "11ms"}])
    assert echoes(loop, 4)[:, 0].tolist() == [0, 0, 1, 2]


def test_the_annotation_may_set_the_connection_and_the_experiment_goes_over_it(
    make_loop: MakeLoop,
) -> None:
    late = ConnectionSettings(delay="10ms")

    @transceiver
    def send(steps: From("a.steps")) -> To("b.given", connection=late):
        return steps + 1

    assert echoes(make_loop(send), 3)[:, 0].tolist() == [0, 1, 2]
    direct = [{"to": "b.given", "delivery": "latch"}]
    assert echoes(make_loop(send, connections=direct), 3)[:, 0].tolist() == [1, 2, 3]


def test_messages_drop_out_with_the_given_probability_each_instance_for_itself(
    make_loop: MakeLoop,
) -> None:
    connections = [{"to": "b.given", "dropout": 0.25, "delivery": "latch"}]
    seen = echoes(make_loop(forward, connections=connections, num_instances=4), 400)
    is_new = np.diff(seen, axis=0) > 0
    assert is_new.mean() == pytest.approx(0.75, abs=0.04)
    assert not np.array_equal(is_new[:, 0], is_new[:, 1])
    # what arrives is the newest
    assert (
        seen[1:][is_new] == np.broadcast_to(np.arange(2, 401)[:, None], is_new.shape)[is_new]
    ).all()


def test_a_slow_reader_sees_what_arrived_before_others_were_lost(make_loop: MakeLoop) -> None:
    @transceiver(engine="b")
    def seldom(steps: From("a.steps")) -> To("b.given"):
        return steps

    loop = make_loop(
        seldom,
        sync_ms={"a": 1, "b": 20},
        connections=[{"from": "a.steps", "dropout": 0.5}],
        num_instances=50,
    )
    ages = []
    for k in range(1, 21):
        loop.advance_to(20 * k * MS + MS)
        ages.append(20 * k - loop.wiring.latest("b.given"))
    # of messages each ms half are lost: the newest that came is 1 ms old on average, 20 never
    assert np.mean(ages) == pytest.approx(1.0, abs=0.2)
    assert np.max(ages) < 20


def test_jitter_delays_by_up_to_so_much_more_and_never_goes_back(make_loop: MakeLoop) -> None:
    connections = [{"to": "b.given", "delay": "10ms", "jitter": "40ms"}]
    seen = echoes(make_loop(forward, connections=connections, num_instances=3), 300)
    assert (np.diff(seen, axis=0) >= 0).all()
    age = np.arange(1, 301)[:, None] - seen
    assert age[10:].min() == 2
    assert age[10:].max() == 5


def test_an_instance_has_the_same_fate_alone_and_among_others(make_loop: MakeLoop) -> None:
    connections = [{"to": "b.given", "dropout": 0.3, "jitter": "30ms"}]
    together = echoes(make_loop(forward, connections=connections, num_instances=3), 300)
    alone = make_loop(forward, connections=connections, num_instances=1, seeds=[2])
    np.testing.assert_array_equal(echoes(alone, 300)[:, 0], together[:, 2])


def test_snapshots_hold_what_is_on_its_way(make_loop: MakeLoop) -> None:
    connections = [
        {"to": "b.given", "delay": "30ms", "jitter": "30ms", "dropout": 0.2},
        {"from": "a.steps", "delay": "20ms"},
    ]
    loop = make_loop(forward, connections=connections, num_instances=3)
    echoes(loop, 290)
    snapshot = loop.snapshot()
    expected = echoes(loop, 50)
    loop.restore(snapshot)
    np.testing.assert_array_equal(echoes(loop, 50), expected)
    other = make_loop(forward, connections=connections, num_instances=3)
    other.restore(snapshot)
    np.testing.assert_array_equal(echoes(other, 50), expected)


def test_a_reset_loses_what_is_on_its_way_to_these_instances_only(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, connections=[{"to": "b.given", "delay": "20ms"}], num_instances=2)
    echoes(loop, 3)
    some = np.array([0])
    loop.reset([5], some)
    loop.refresh(some)
    assert echoes(loop, 3).tolist() == [[0, 2], [0, 3], [1, 4]]


@transceiver(engine="b")
def push_once(steps: From("a.steps")) -> To("b.given"):
    return np.full(1, 7.0) if steps[0] == 0 else None


@pytest.mark.parametrize(("delivery", "expected"), [("latch", 7.0), ("once", 3.0)])
def test_latch_sends_again_what_once_sends_once(
    make_loop: MakeLoop, delivery: str, expected: float
) -> None:
    loop = make_loop(push_once, connections=[{"to": "b.given", "delivery": delivery}])
    loop.advance()
    assert loop.world.read("b.echo")[0] == 7.0
    loop.world.write("b.given", 3.0)  # as someone else would
    loop.advance()
    assert loop.world.read("b.echo")[0] == expected


def test_a_slow_receiver_gets_the_newest_of_several_results(make_loop: MakeLoop) -> None:
    loop = make_loop(forward, sync_ms={"a": 10, "b": 30})
    loop.advance_to(60 * MS)
    assert loop.world.read("b.echo")[0] == 4


def test_connections_of_packs_that_no_function_uses_are_refused(make_loop: MakeLoop) -> None:
    with pytest.raises(UserError, match=r"functions write 'b.vector'.*Valid: b.given"):
        make_loop(forward, connections=[{"to": "b.vector", "delay": "1ms"}])
    with pytest.raises(UserError, match=r"functions read 'a.echo'.*Valid: a.steps"):
        make_loop(forward, connections=[{"from": "a.echo", "delay": "1ms"}])
    with pytest.raises(UserError, match="give either 'from' or 'to'"):
        make_loop(forward, connections=[{"delay": "1ms"}])
    with pytest.raises(UserError, match=r"less than or equal to 1, not 1\.5"):
        make_loop(forward, connections=[{"to": "b.given", "dropout": 1.5}])
