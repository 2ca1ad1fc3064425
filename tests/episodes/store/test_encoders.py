import threading

import pyarrow as pa
import pytest

from troupe.episodes.store.encoders import ENCODERS, Encoders

TABLE = pa.table({"id": ["a", "b"]})


def test_who_gives_waits_while_all_threads_are_busy_and_for_the_rest_only_until_one_is_stuck():
    go, done = threading.Event(), []
    changed = threading.Condition()

    def encode(table: pa.Table, number: int) -> None:
        if number == 0:
            with encoders.stuck():
                go.wait()
        else:
            go.wait()
        done.append(number)

    encoders = Encoders(changed, encode)
    for number in range(ENCODERS):
        assert encoders.give(TABLE, number)
    assert not encoders.give(TABLE, 99, timeout_s=0.01)
    encoders.settle()  # returns, since one is stuck
    assert encoders.num_episodes == len(TABLE) * ENCODERS
    assert not done
    go.set()
    assert encoders.give(TABLE, 2)
    encoders.close()
    assert sorted(done) == [0, 1, 2]
    assert encoders.num_episodes == 0


def test_tables_take_turns_and_none_comes_after_one_that_failed():
    arrived, order, after_failed = threading.Event(), [], []

    def encode(table: pa.Table, number: int) -> None:
        if number % 2:
            arrived.set()
        else:
            arrived.wait()
            arrived.clear()
        if number == 2:
            raise ZeroDivisionError
        if encoders.wait_for_turn(number):
            order.append(number)
        else:
            after_failed.append(number)

    encoders = Encoders(threading.Condition(), encode)
    for number in (0, 1):
        encoders.give(TABLE, number)
    encoders.settle()
    for number in (2, 3):
        encoders.give(TABLE, number)
    encoders.close()
    assert order == [0, 1]
    assert after_failed == [3]
    with pytest.raises(ZeroDivisionError):
        encoders.check()


def test_what_goes_wrong_in_a_thread_is_raised_where_the_next_table_is_given():
    def encode(table: pa.Table, number: int) -> None:
        raise ZeroDivisionError

    encoders = Encoders(threading.Condition(), encode)
    encoders.give(TABLE, 0)
    with pytest.raises(ZeroDivisionError):
        encoders.settle()
    with pytest.raises(ZeroDivisionError):
        encoders.give(TABLE, 1)
    encoders.close()
