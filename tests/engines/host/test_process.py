import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from odd_engine import OddSettings
from processes import end, ids_of, runs

from troupe.core import EngineError, UserError
from troupe.engines.host import open_engine


def tell(engine, **order):
    engine.write("order", order)
    engine.advance(0)


def test_here_is_the_engine_itself():
    engine = open_engine(OddSettings(), "odd", 2, 1)
    assert type(engine).__name__ == "OddEngine"


def test_the_process_imports_only_what_its_engine_needs(open_odd):
    engine = open_odd()
    tell(engine, do="modules")
    assert engine.read("answer").tolist() == [0, 0, 0]


def test_threads_and_instances_arrive(open_odd):
    engine = open_odd(num_instances=5, num_threads=2)
    tell(engine, do="threads")
    assert engine.read("answer").tolist() == [2] * 5


def test_packs_between_begin_and_finish_are_those_from_before(open_odd):
    engine = open_odd()
    engine.write("command", 1.0)
    engine.advance(10)
    engine.write("command", 2.0)
    engine.begin(10)
    engine.write("command", 3.0)  # for the next advance
    engine.write("command", 4.0, np.array([2]))
    assert engine.read("seen").tolist() == [[1.0] * 3] * 3
    engine.finish()
    assert engine.read("seen").tolist() == [[2.0] * 3] * 3
    engine.advance(10)
    assert engine.read("seen")[:, 0].tolist() == [3.0, 3.0, 4.0]


def test_nothing_else_is_done_before_an_advance_is_finished(open_odd):
    engine = open_odd()
    engine.begin(10)
    for call in (engine.snapshot, lambda: engine.begin(10), lambda: engine.reset([1, 2, 3])):
        with pytest.raises(EngineError, match="'odd' still has a call to finish"):
            call()
    engine.finish()
    engine.snapshot()


def test_large_values_pass(open_odd):
    engine = open_odd(num_instances=200_000)
    values = np.arange(600_000.0).reshape(-1, 3)
    engine.write("command", values)
    engine.advance(10)
    assert np.array_equal(engine.read("seen"), values)
    snapshot = engine.snapshot()
    engine.reset(range(200_000))
    engine.restore(snapshot, np.arange(100_000))
    assert np.array_equal(engine.read("seen")[:100_000], values[:100_000])


def test_writes_keep_their_order_where_packs_share_what_they_set(open_odd):
    engine = open_odd()
    engine.write("command", 1.0)
    engine.write("alias", 2.0)
    engine.write("command", 3.0, np.array([1]))
    engine.write("alias", 4.0, np.array([2, 1]))
    engine.write("alias", [[5.0, 6.0, 7.0]], np.array([2]))
    engine.advance(10)
    assert engine.read("seen").tolist() == [[2.0] * 3, [4.0] * 3, [5.0, 6.0, 7.0]]


def test_only_the_last_of_several_writes_to_all_instances_is_done(open_odd):
    engine = open_odd()
    for value in range(5):
        engine.write("command", value)
        engine.write("alias", value + 0.5)
    engine.write("order", {"do": "nothing"})
    engine.write("order", {"do": "count"})
    engine.advance(10)
    assert engine.read("seen").tolist() == [[4.5] * 3] * 3
    assert engine.read("answer").tolist() == [3] * 3


def test_values_of_objects_travel_as_json(open_odd):
    engine = open_odd(num_instances=2)
    value = {"text": "ü", "list": [1, 2.5, None, [True]], "nan": float("inf")}
    tell(engine, do="say", value=value)
    assert engine.read("answer").tolist() == [
        {"value": value, "instance": i, "array": [0, 1]} for i in range(2)
    ]
    with pytest.raises(UserError, match=r"odd\.order: .* is not JSON"):
        engine.write("order", {"do": open})


def test_values_that_do_not_fit_are_refused_at_once(open_odd):
    engine = open_odd()
    engine.write("command", 5.0)
    with pytest.raises(UserError, match=r"odd\.command: .*broadcast.*\(2,\)"):
        engine.write("command", [1.0, 2.0])
    with pytest.raises(UserError, match=r"odd\.command: index 3 is out of bounds"):
        engine.write("command", 1.0, np.array([3]))
    with pytest.raises(UserError, match=r"unknown datapack 'comand'\. Did you mean 'command'"):
        engine.write("comand", 1.0)
    engine.advance(10)
    assert engine.read("seen").tolist() == [[5.0] * 3] * 3


def test_a_spec_arrives_exactly(open_odd):
    spec, here = open_odd().spec, OddSettings().build("odd", 3, 1).spec
    assert spec.timestep_ns == here.timestep_ns
    flags = ("name", "num_instances", "can_snapshot", "can_reset_some", "releases_gil")
    assert [getattr(spec, f) for f in flags] == [getattr(here, f) for f in flags]
    for packs, expected in ((spec.inputs, here.inputs), (spec.outputs, here.outputs)):
        assert list(packs) == list(expected)
        for pack, array in expected.items():
            for key in ("shape", "unit", "dtype", "names", "categories"):
                assert getattr(packs[pack], key) == getattr(array, key)
            assert np.array_equal(packs[pack].low, array.low)
            assert np.array_equal(packs[pack].high, array.high)


def test_snapshots_of_any_kind_of_array_arrive(open_odd):
    engine, here = open_odd(), OddSettings().build("odd", 3, 1)
    engine.write("command", np.arange(9).reshape(3, 3))
    engine.advance(10)
    snapshot, expected = engine.snapshot(), here.snapshot()
    assert snapshot["command"].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    for key in set(expected) - {"command"}:
        assert snapshot[key].dtype == expected[key].dtype
        assert np.array_equal(snapshot[key], expected[key])
    engine.reset([1, 2, 3])
    assert engine.read("seen")[:, 0].tolist() == [1, 2, 3]
    engine.restore(snapshot, np.array([1]))
    assert engine.read("seen")[:, 0].tolist() == [1, 3, 3]


def test_faults_arrive_and_pass(open_odd):
    engine = open_odd()
    tell(engine, do="fault")
    (fault,) = engine.faults()
    assert (fault.instance, fault.reason) == (1, "odd")
    assert fault.last_state["state"].tolist() == [1.5, np.inf]
    engine.advance(10)
    assert engine.faults() == []


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"do": "fail", "value": "oh"}, r"engine 'odd' raised:\n.*_obey.*KeyError: 'oh'"),
        ({"do": "engine-error", "value": "no more"}, "^no more$"),
        ({"do": "exit", "value": 3}, r"engine 'odd' exited with status 3\. It printed nothing"),
        ({"do": "segfault"}, r"engine 'odd' was killed by SIGSEGV\. .*\nabout to crash"),
        ({"do": "unspeakable"}, "is not JSON"),
    ],
)
def test_an_engine_that_fails_says_how_and_is_gone(open_odd, order, message):
    engine = open_odd(with_program=True)
    pids = ids_of(engine)
    assert len(pids) == 2
    with pytest.raises(EngineError, match=f"(?s){message}"):
        tell(engine, **order)
    assert end(pids)
    with pytest.raises(EngineError, match="engine 'odd' is closed"):
        engine.advance(0)
    engine.close()


def test_an_error_of_the_user_stays_one(open_odd):
    engine = open_odd()
    with pytest.raises(UserError, match=r"^wrong$"):
        tell(engine, do="user-error", value="wrong")


def test_a_killed_engine_says_so_with_the_last_it_printed(open_odd):
    engine = open_odd(with_program=True)
    tell(engine, do="print", value="x" * 5000 + "the last words")
    pids = ids_of(engine)
    engine.write("order", {"do": "sleep", "value": 1000})
    engine.begin(10)
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(EngineError, match=r"(?s)was killed by SIGKILL\. .*xxthe last words$"):
        engine.finish()
    assert end(pids)


def test_an_engine_that_hangs_is_ended_after_its_timeout(open_odd):
    engine = open_odd(with_program=True, timeout="300ms")
    pids = ids_of(engine)
    with pytest.raises(EngineError, match="'odd' did not answer within 300ms and was ended"):
        tell(engine, do="hang")
    assert end(pids)


def test_a_long_advance_without_a_timeout_is_no_error(open_odd):
    engine = open_odd()
    tell(engine, do="sleep", value=1.5)
    engine.advance(0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"refuse": True}, UserError, r"^engines.odd.refuse: 'True' is refused\.$"),
        ({"crash": True}, EngineError, "(?s)'odd' raised:.*in build.*ZeroDivisionError: at the st"),
    ],
)
def test_an_error_at_the_start_stays_what_it_is(open_odd, settings, error, message):
    with pytest.raises(error, match=message):
        open_odd(**settings)


def test_settings_that_no_other_process_can_import_are_refused():
    class Local(OddSettings):
        pass

    with pytest.raises(UserError, match=r"engines\.odd\.host: .*Local' is not defined in a module"):
        open_engine(Local(host="process"), "odd", 1, 1)


def test_close_ends_everything_and_may_be_called_again(open_odd):
    engine = open_odd(with_program=True)
    pids = ids_of(engine)
    seen = engine.read("seen")
    engine.close()
    assert end(pids)
    engine.close()
    assert seen.tolist() == [[0.0] * 3] * 3
    with pytest.raises(EngineError, match="closed"):
        engine.snapshot()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"close_hangs": True}, {}])
def test_close_ends_an_engine_that_hangs(open_odd, settings):
    engine = open_odd(with_program=True, **settings)
    pids = ids_of(engine)
    if not settings:
        engine.write("order", {"do": "hang"})
        engine.begin(0)
    engine.close()
    assert end(pids)


def test_an_engine_that_is_forgotten_is_ended(open_odd):
    engine = open_engine(OddSettings(host="process", with_program=True), "odd", 1, 1)
    pids = ids_of(engine)
    del engine
    assert end(pids)


def test_an_engine_outlives_the_thread_that_opened_it(open_odd):
    opened = []
    thread = threading.Thread(target=lambda: opened.append(open_odd()))
    thread.start()
    thread.join()
    opened[0].advance(0)


def test_memory_has_no_name_that_could_stay_behind(open_odd):
    engine = open_odd()
    for pid in ("self", *ids_of(engine)):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "/memfd:troupe (deleted)" in maps
        assert "/dev/shm/troupe" not in maps


FORGETFUL = """
import sys, time
from odd_engine import OddSettings
from troupe.engines.host import open_engine
engine = open_engine(OddSettings(host="process", with_program=True), "odd", 1, 1)
print(*engine.read("pids")[0], flush=True)
{then}
"""


def start(then: str) -> tuple["subprocess.Popen[str]", list[int]]:
    """Start a process that opens an engine, and return the ids of the engine's processes."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FORGETFUL.format(then=then)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize("then", ["pass", "raise SystemExit(0)"])
def test_a_process_that_forgets_its_engine_leaves_nothing_behind(then):
    process, pids = start(then)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
    assert end(pids)


@pytest.mark.parametrize("doing", ["time.sleep(1000)", "hang"])
def test_an_engine_ends_with_a_parent_that_is_killed(doing):
    hang = "engine.write('order', {'do': 'hang'}); engine.begin(0); time.sleep(1000)"
    process, pids = start(hang if doing == "hang" else doing)
    assert len(pids) == 2
    assert all(runs(pid) for pid in pids)
    process.kill()
    process.communicate()
    assert end(pids)
