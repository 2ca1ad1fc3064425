from pathlib import Path

import numpy as np
import pytest

from tests.loop.conftest import MS, MakeLoop
from troupe.core.errors import FunctionError, UserError
from troupe.core.settings import validated
from troupe.engines.script_settings import ScriptSettings
from troupe.loop import (
    ConnectionSettings,
    FixedStepLoop,
    From,
    InstanceTime,
    IsUpdated,
    Iteration,
    Memory,
    SimulationTime,
    To,
    preprocessing,
    status,
    transceiver,
)
from troupe.loop.functions import load_functions
from troupe.loop.settings import ConnectionEntry

LOG = """
from troupe.engines.script import Script, pack

class Log(Script):
    inputs = {"line": pack(object)}
    outputs = {"shown": pack(object), "num": pack(dtype=int)}
    state = ()

    def step(self, duration_ns):
        self.num += 1
        self.shown = self.line
"""


@transceiver
def double(steps: From("a.steps")) -> To("b.given"):
    return 2 * steps


def test_what_a_function_returns_reaches_the_engine_in_its_next_step(make_loop: MakeLoop) -> None:
    loop = make_loop(double)
    seen = []
    for _ in range(3):
        loop.advance()
        seen.append(float(loop.world.read("b.echo")[0]))
    # at time 0 the engine has made 0 steps, then 1, then 2
    assert seen == [0, 2, 4]


def test_a_function_stays_callable() -> None:
    assert double(21.0) == 42.0


def test_engines_synchronise_when_they_are_due_not_only_where_all_meet(
    make_loop: MakeLoop,
) -> None:
    times: dict[str, list[float]] = {"a": [], "b": []}

    @transceiver(engine="a")
    def look_at_a(t: SimulationTime, time_ms: From("a.time_ms")) -> To("a.given"):
        times["a"].append(t / MS)
        assert time_ms[0] == t / MS

    @transceiver(engine="b")
    def look_at_b(t: SimulationTime, time_ms: From("b.time_ms")) -> To("b.given"):
        times["b"].append(t / MS)
        assert time_ms[0] == t / MS

    make_loop(look_at_a, look_at_b, sync_ms={"a": 10, "b": 15}).advance_to(46 * MS)
    assert times == {"a": [0, 10, 20, 30, 40], "b": [0, 15, 30, 45]}


def test_a_phase_shifts_an_engines_synchronisations(make_loop: MakeLoop) -> None:
    times = []

    @transceiver(engine="b")
    def look(t: SimulationTime, time_ms: From("b.time_ms")) -> To("b.given"):
        times.append(t / MS)
        assert time_ms[0] == t / MS

    make_loop(look, sync_ms={"a": 10, "b": 10}, phase_ms={"b": 4}).advance_to(30 * MS)
    assert times == [0, 4, 14, 24]


def test_between_its_synchronisations_an_engine_shows_its_last_values(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver(engine="a")
    def look(t: SimulationTime, slow: From("b.time_ms")) -> To("a.given"):
        seen.append((t / MS, float(slow[0])))

    make_loop(look, sync_ms={"a": 10, "b": 25}).advance_to(60 * MS)
    assert seen == [(0, 0), (10, 0), (20, 0), (30, 25), (40, 25), (50, 50)]


def test_a_function_runs_when_an_engine_that_it_reads_synchronises(make_loop: MakeLoop) -> None:
    times = []

    @transceiver
    def look(t: SimulationTime, steps: From("b.steps")) -> To("a.given"):
        times.append(t / MS)

    make_loop(look, sync_ms={"a": 10, "b": 20}).advance_to(50 * MS)
    assert times == [0, 20, 40]


def test_preprocessing_comes_first_and_gives_new_packs_the_status_comes_last(
    make_loop: MakeLoop,
) -> None:
    order = []

    @status
    def end(i: Iteration, total: From("a.total")) -> bool:
        order.append("status")
        return i == 2

    @transceiver
    def use(total: From("a.total")) -> To("b.given"):
        order.append("transceiver")
        return total

    @preprocessing(engine="a")
    def sum_up(steps: From("a.steps")) -> To("a.total"):
        order.append("preprocessing")
        return steps + 100

    loop = make_loop(end, use, sum_up)
    assert loop.advance_to(1000 * MS)
    assert order == ["preprocessing", "transceiver", "status"] * 3
    assert loop.now_ns == 20 * MS
    assert loop.world.read("b.echo")[0] == 101


def test_several_results_and_none_of_them(make_loop: MakeLoop) -> None:
    @transceiver
    def steer(t: SimulationTime, steps: From("a.steps")) -> tuple[To("b.given"), To("b.vector")]:
        return (steps, [[1.0, 2.0]]) if t == 0 else (None, [[3.0, 4.0]])

    loop = make_loop(steer)
    loop.advance()
    loop.advance()
    loop.advance()
    assert loop.world.read("b.echo")[0] == 0
    assert loop.world.read("b.pair").tolist() == [[3.0, 4.0]]


def test_memory_is_kept_reset_and_part_of_snapshots(make_loop: MakeLoop) -> None:
    @transceiver
    def count(n: Memory("n", initial=5.0), t: InstanceTime, a: From("a.steps")) -> To("b.given"):
        n += 1
        return n + 1000 * (t / MS)

    loop = make_loop(count, num_instances=2)
    loop.advance()
    loop.advance()
    snapshot = loop.snapshot()
    loop.reset([7], np.array([1]))
    loop.refresh(np.array([1]))
    loop.advance()
    assert loop.world.read("b.echo").tolist() == [8 + 20_000, 6]
    loop.restore(snapshot)
    loop.advance()
    assert loop.world.read("b.echo").tolist() == [8 + 20_000, 8 + 20_000]


def test_whether_an_engine_has_just_synchronised(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver(engine="a")
    def look(new: IsUpdated("b.steps")) -> To("a.given"):
        seen.append(new)

    make_loop(look, sync_ms={"a": 10, "b": 20}).advance_to(40 * MS)
    assert seen == [True, False, True, False]


@transceiver
def wrong_engine(x: From("c.steps")) -> To("b.given"): ...
@transceiver
def wrong_pack(x: From("a.stepz")) -> To("b.given"): ...
@transceiver
def wrong_target(x: From("a.steps")) -> To("b.echo"): ...
@transceiver
def wrong_unit(x: From("a.time_ms", unit="s")) -> To("b.given"): ...
@transceiver
def wrong_target_unit(x: From("a.steps")) -> To("b.given", unit="A"): ...
@transceiver
def wrong_shape(x: From("a.pair", shape=(3,))) -> To("b.given"): ...
@transceiver(engine="z")
def wrong_trigger(x: From("a.steps")) -> To("b.given"): ...
@preprocessing(engine="a")
def foreign(x: From("b.steps")) -> To("a.new"): ...
@preprocessing(engine="a")
def taken(x: From("a.steps")) -> To("a.echo"): ...
@preprocessing(engine="a")
def taken_input(x: From("a.steps")) -> To("a.given"): ...
@transceiver
def wrong_number(x: From("a.pair", shape=3)) -> To("b.given"): ...
@transceiver
def wrong_update(x: IsUpdated("a.stepz")) -> To("b.given"): ...
@transceiver
def same_memory(x: Memory("m"), y: Memory("m")) -> To("b.given"): ...
@transceiver
def wrong_memory(x: Memory("m", shape=2, initial=(1, 2, 3))) -> To("b.given"): ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (wrong_engine, "function 'wrong_engine', 'x': unknown engine 'c'. Valid: a, b."),
        (wrong_pack, "function 'wrong_pack', 'x': unknown datapack to read 'a.stepz'. Did you"),
        (wrong_target, "its result: unknown datapack to write 'b.echo'"),
        (wrong_unit, "'x': 'a.time_ms' has the unit 'ms', not 's'"),
        (wrong_target_unit, "its result: 'b.given' has the unit 'V', not 'A'"),
        (wrong_shape, r"'a.pair' has the shape (2,), not (3,)"),
        (wrong_trigger, "function 'wrong_trigger': unknown engine 'z'"),
        (foreign, "reads from its own engine 'a' only, not 'b.steps'"),
        (taken, "'a.echo' is the engine's own"),
        (taken_input, "'a.given' is the engine's own"),
        (wrong_number, "'a.pair' has the shape (2,), not (3,)"),
        (wrong_update, "unknown datapack to read 'a.stepz'"),
        (same_memory, "'y': there is another memory 'same_memory.m'"),
        (wrong_memory, "the memory cannot be made: could not broadcast"),
    ],
)
def test_what_does_not_fit_is_an_error_before_anything_runs(
    make_loop: MakeLoop, function: object, message: str
) -> None:
    with pytest.raises(UserError) as error:
        make_loop(function)
    assert message in str(error.value)


def test_a_result_that_does_not_fit_is_an_error_before_the_first_step(make_loop: MakeLoop) -> None:
    @transceiver
    def wide(x: From("a.steps")) -> To("b.given"):
        return np.zeros((1, 3))

    loop = make_loop(wide)
    with pytest.raises(UserError, match=r"'wide': its result: 'b.given' takes .* shape \(1,\)"):
        loop.advance()
    assert loop.world.read("a.steps")[0] == 0


def test_a_function_that_raises_is_told_with_its_own_lines_and_the_time(
    make_loop: MakeLoop, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        "from troupe.loop import From, SimulationTime, To, transceiver\n"
        "@transceiver\n"
        "def divide(x: From('a.steps'), t: SimulationTime) -> To('b.given'):\n"
        "    return 1 // (20_000_000 - t)\n"
    )
    loop = make_loop(*load_functions([file], "loop.functions"))
    with pytest.raises(FunctionError) as error:
        loop.advance_to(100 * MS)
    message = str(error.value)
    assert "function 'divide' raised at 0.02 s:" in message
    assert "return 1 // (20_000_000 - t)" in message
    assert "ZeroDivisionError" in message
    assert "wiring.py" not in message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(x: int) -> To('b.given'): ...", "argument 'x' says not where it comes from"),
        ("def f(x: From('a.steps')): ...", "its result says not where it goes"),
        ("def f(x): ...", "argument 'x' says not where"),
        ("def f(*, x: From('a.steps')) -> To('b.given'): ...", "argument 'x': write it without *"),
        ("def f(x: From('steps')) -> To('b.given'): ...", "'steps' is no datapack: write 'eng"),
        ("def f(x: From(3)) -> To('b.given'): ...", "3 is no datapack"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_functions_without_annotations_are_refused(
    tmp_path: Path, source: str, message: str
) -> None:
    file = tmp_path / "functions.py"
    file.write_text(f"from troupe.loop import From, To, transceiver\n@transceiver\n{source}\n")
    with pytest.raises(UserError) as error:
        load_functions([file], "loop.functions")
    assert message in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_without_functions_and_two_status_functions_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "functions.py"
    file.write_text("x = 1\n")
    with pytest.raises(UserError, match="defines no function"):
        load_functions([file], "loop.functions")
    one = "from troupe.loop import status\n@status\ndef end() -> bool: return True\n"
    file.write_text(f"{one}@status\ndef stop() -> bool: return True\n")
    with pytest.raises(UserError, match="one status function at most, not end, stop"):
        load_functions([file], "loop.functions")


def test_a_name_is_that_of_one_function(tmp_path: Path) -> None:
    source = (
        "from troupe.loop import From, Memory, To, transceiver\n"
        "@transceiver\n"
        "def add(x: From('a.steps'), m: Memory('m')) -> To('b.given'): ...\n"
    )
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    for file in files:
        file.write_text(f"{source}same = add\n")
    assert [f.name for f in load_functions(files[:1], "loop.functions")] == ["add"]
    with pytest.raises(UserError, match=r"two functions are called 'add', in '.*one.*' and '.*two"):
        load_functions(files, "loop.functions")


def test_what_a_function_reads_it_cannot_change(make_loop: MakeLoop) -> None:
    @transceiver
    def shift(steps: From("a.steps")) -> To("b.given"):
        steps += 1
        return steps

    with pytest.raises(FunctionError, match=r"steps \+= 1\n(.*\n)?ValueError: .*read-only"):
        make_loop(shift).synchronise()


@pytest.mark.parametrize("result", ["no", np.nan, 1])
def test_a_status_function_returns_a_bool(make_loop: MakeLoop, result: object) -> None:
    @status
    def done(steps: From("a.steps")) -> object:
        return result

    with pytest.raises(FunctionError, match="function 'done' must return a bool"):
        make_loop(done).synchronise()


@pytest.mark.parametrize("result", [3.0, (1.0,), (1.0, 2.0, 3.0)])
def test_as_many_results_as_targets(make_loop: MakeLoop, result: object) -> None:
    @transceiver
    def send(steps: From("a.steps")) -> tuple[To("b.given"), To("a.given")]:
        return result

    with pytest.raises(UserError, match="must be a tuple of 2 results, not "):
        make_loop(send).synchronise()


def test_a_function_that_exits_is_told_like_one_that_raises(make_loop: MakeLoop) -> None:
    @transceiver
    def leave(steps: From("a.steps")) -> To("b.given"):
        raise SystemExit(0)

    with pytest.raises(FunctionError, match=r"'leave' raised at 0 s:\n.*\n.*\nSystemExit: 0"):
        make_loop(leave).synchronise()


def test_preprocessing_gives_the_same_shape_and_dtype_each_time(make_loop: MakeLoop) -> None:
    @preprocessing(engine="a")
    def change(steps: From("a.steps")) -> To("a.new"):
        return steps if steps[0] < 2 else np.zeros((1, 2))

    loop = make_loop(change)
    with pytest.raises(FunctionError, match=r"'a.new' had the shape \(1,\) and dtype float64"):
        loop.advance_to(30 * MS)


def test_preprocessing_keeps_a_copy_of_what_it_returned(make_loop: MakeLoop) -> None:
    buffer = np.zeros(1)

    @preprocessing(engine="a")
    def again(steps: From("a.steps")) -> To("a.new"):
        buffer[:] = steps
        return buffer

    @transceiver(engine="b")
    def send(new: From("a.new")) -> To("b.given"):
        buffer[:] = -1
        return new

    loop = make_loop(again, send)
    loop.advance_to(20 * MS)
    assert loop.world.read("b.echo").tolist() == [1]


def test_two_delays_of_a_pack_in_one_function(make_loop: MakeLoop) -> None:
    seen = []

    @transceiver
    def look(
        late: From("a.time_ms", connection=ConnectionSettings(delay="10ms")),
        later: From("a.time_ms", connection=ConnectionSettings(delay="20ms")),
    ) -> To("b.given"):
        seen.append((float(late[0]), float(later[0])))

    make_loop(look).advance_to(41 * MS)
    assert seen[-1] == (30, 20)


def test_json_between_engines_is_part_of_snapshots(tmp_path: Path) -> None:
    (tmp_path / "log.py").write_text(LOG)
    settings = validated(ScriptSettings, {"type": "script", "file": tmp_path / "log.py"})

    @preprocessing(engine="log")
    def note(num: From("log.num")) -> To("log.note"):
        return np.array([{"n": int(num[0]), "word": "ü"}], object)

    @transceiver
    def tell(note: From("log.note"), last: Memory("last", dtype=object)) -> To("log.line"):
        last[0] = note[0]
        return last

    delay = validated(ConnectionEntry, {"to": "log.line", "delay": "15ms"})
    loop = FixedStepLoop(
        {"log": settings.build("log", 1, 1)},
        10 * MS,
        functions=[note, tell],
        connections=[delay],
    )
    loop.reset([0])
    loop.refresh()
    loop.advance_to(40 * MS)
    snapshot = loop.snapshot()
    assert not any(values.dtype.hasobject for values in snapshot.values())
    loop.advance_to(80 * MS)
    shown = loop.world.read("log.shown").tolist()
    assert shown == [{"n": 5, "word": "ü"}]
    loop.restore(snapshot)
    loop.advance_to(80 * MS)
    assert loop.world.read("log.shown").tolist() == shown
