from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.script_engine import ScriptEngine
from troupe.engines.script_settings import ScriptSettings

MS = 1_000_000

WALKER = """
    class Walker(Script):
        inputs = {"push": pack(2, unit="N", low=-1, high=1), "note": pack(object)}
        outputs = {
            "position": pack(2, unit="m"),
            "log": pack(object, initial={"notes": []}),
            "num_steps": pack(dtype=int),
        }
        state = ("velocity",)

        def setup(self, noise=0.1):
            self.noise = noise
            self.velocity = np.zeros((self.num_instances, 2))

        def reset(self, instances, rng):
            for i, generator in zip(instances, rng):
                self.position[i] = generator.uniform(-1, 1, 2)

        def step(self, duration_ns):
            self.velocity = self.velocity + self.push * duration_ns / 1e9
            self.position += self.velocity
            self.num_steps += 1
            for i, generator in enumerate(self.rng):
                self.position[i] += self.noise * generator.standard_normal(2, np.float32)
                if self.note[i] is not None:
                    self.log[i]["notes"].append(self.note[i])
"""

STATELESS = """
    class Doubler(Script):
        inputs = {"a": pack(low=-1, high=1)}
        outputs = {"b": pack()}

        def step(self, duration_ns):
            self.b = 2 * self.a
"""


def settings(folder: Path, code: str, **more: Any) -> ScriptSettings:
    imports = "import numpy as np\nfrom troupe.engines.script import Script, pack\n"
    (folder / "mine.py").write_text(imports + dedent(code))
    return ScriptSettings(file=folder / "mine.py", **more)


def build(folder: Path, code: str, num_instances: int = 2, **more: Any) -> ScriptEngine:
    engine = settings(folder, code, **more).build("mine", num_instances, 1)
    engine.reset(range(num_instances))
    return engine


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("timestep", ["2ms", "1/240s"])
def test_conforms(timestep: str, check: Callable[[Case], None], tmp_path: Path) -> None:
    walker = settings(tmp_path, WALKER, timestep=timestep)
    drive = {"push": None, "note": lambda rng: [{"x": rng.uniform()}, "é"][rng.integers(2)]}
    # whole time steps, as instances that are reset at different times need
    step_ns = 20 * MS if timestep == "2ms" else 25 * MS
    check_engine(Case(lambda n, t: walker.build("mine", n, t), drive, step_ns), (check,))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conforms_without_a_time_step(check: Callable[[Case], None], tmp_path: Path) -> None:
    walker = settings(tmp_path, WALKER)
    case = Case(
        lambda n, t: walker.build("mine", n, t),
        step_ns=20 * MS,
        exceptions={"check_time_is_exact": "each advance is one step, however long"},
    )
    check_engine(case, (check,))


def test_assignment_to_a_pack_and_in_place_are_the_same(tmp_path: Path) -> None:
    code = """
        class Both(Script):
            inputs = {"a": pack(2)}
            outputs = {"assigned": pack(2), "filled": pack(2), "added": pack(2)}

            def step(self, duration_ns):
                self.assigned = self.a + 1
                self.filled[:] = self.a + 1
                self.added += self.a + 1
    """
    engine = build(tmp_path, code)
    views = [engine.read(pack) for pack in engine.spec.outputs]
    engine.write("a", [[1, 2], [3, 4]])
    engine.advance(MS)
    for values in views:
        assert values.tolist() == [[2, 3], [4, 5]]


def test_steps_once_for_an_advance_or_once_for_each_time_step(tmp_path: Path) -> None:
    code = """
        class Clock(Script):
            outputs = {"durations": pack(object, initial=[]), "times": pack(object, initial=[])}

            def step(self, duration_ns):
                for i in range(self.num_instances):
                    self.durations[i].append(duration_ns)
                    self.times[i].append(int(self.time_ns[i]))
    """
    engine = build(tmp_path, code, 1)
    for duration_ns in (5, 0, 3):
        engine.advance(duration_ns)
    assert engine.read("durations")[0] == [5, 3]
    assert engine.read("times")[0] == [0, 5]
    engine = build(tmp_path, code, 1, timestep="1/240s")
    for _ in range(2):
        engine.advance(10 * MS)
    assert engine.read("durations")[0] == [4_166_667] * 4
    assert engine.read("times")[0] == [0, 4_166_666, 8_333_333, 12_500_000]
    engine.reset([0])
    assert engine.read("times")[0] == []


def test_packs_may_follow_from_parameters(tmp_path: Path) -> None:
    code = """
        class Sized(Script):
            def setup(self, joints, gain=2.0):
                self.outputs = {"torque": pack(joints, names=["a", "b", "c"], initial=gain)}

            def step(self, duration_ns):
                self.torque += self.parameters["joints"]
    """
    engine = build(tmp_path, code, parameters={"joints": 3})
    assert engine.spec.outputs["torque"].names == ("a", "b", "c")
    assert engine.read("torque").tolist() == [[2, 2, 2], [2, 2, 2]]
    engine.advance(MS)
    engine.reset([5], np.array([1]))
    assert engine.read("torque").tolist() == [[5, 5, 5], [2, 2, 2]]
    with pytest.raises(UserError, match=r"Sized cannot be set up:\n.*argument 'joint'"):
        build(tmp_path, code, parameters={"joint": 3})


def test_a_pack_in_both_can_be_written_and_read(tmp_path: Path) -> None:
    code = """
        class Both(Script):
            angle = pack(unit="rad")
            def setup(self):
                a = pack()
                self.inputs = self.outputs = {"a": a}
            def step(self, duration_ns):
                self.a += 1
    """
    engine = build(tmp_path, code)
    engine.write("a", 5, np.array([1]))
    engine.advance(MS)
    assert engine.read("a").tolist() == [1, 6]


def test_json_values_are_one_for_all_or_one_each(tmp_path: Path) -> None:
    code = """
        class Echo(Script):
            inputs = {"say": pack(object)}
            outputs = {"said": pack(object, initial=[0])}
            state = ()
            def step(self, duration_ns):
                self.said = self.say
    """
    engine = build(tmp_path, code)
    assert engine.read("said").tolist() == [[0], [0]]
    for value, expected in [
        ({"x": 1}, [{"x": 1}, {"x": 1}]),
        ("text", ["text", "text"]),
        ([[1, 2], None], [[1, 2], None]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
    ]:
        engine.write("say", value)
        engine.advance(MS)
        assert engine.read("said").tolist() == expected
    assert all(values.dtype != object for values in engine.snapshot().values())
    engine.write("say", [["only"]], np.array([1]))
    engine.advance(MS)
    assert engine.read("said").tolist() == [1.5, ["only"]]
    with pytest.raises(UserError, match=r"mine\.say: 3 values for 2 instances"):
        engine.write("say", [1, 2, 3])


def test_an_instance_that_fails_begins_anew_alone(tmp_path: Path) -> None:
    code = """
        class Fragile(Script):
            inputs = {"a": pack()}
            outputs = {"b": pack()}
            def reset(self, instances, rng):
                self.b[instances] = [generator.uniform() for generator in rng]
            def step(self, duration_ns):
                self.b = self.a
                for i in np.flatnonzero(self.a > 10):
                    self.fail(i, f"{self.a[i]} is too much")
    """
    engine = build(tmp_path, code, 3)
    initial = engine.read("b").copy()
    engine.write("a", [1, 2, 11])
    engine.advance(MS)
    (fault,) = engine.faults()
    assert (fault.instance, fault.reason) == (2, "11.0 is too much")
    assert fault.last_state["a"] == 11
    assert engine.read("b").tolist() == [1, 2, initial[2]]
    engine.advance(MS)
    assert not engine.faults()
    assert engine.read("b").tolist() == [1, 2, 0]


def test_an_error_in_a_step_is_told_with_its_time_and_line(tmp_path: Path) -> None:
    code = """
        class Broken(Script):
            outputs = {"b": pack(2)}
            def step(self, duration_ns):
                if self.time_ns[0] == 4_000_000:
                    self.b = np.zeros(3)
    """
    engine = build(tmp_path, code, timestep="2ms")
    with pytest.raises(EngineError, match=r"(?s)mine: at 4ms the script raised.*mine.py.*line 8"):
        engine.advance(10 * MS)


def test_steps_of_some_instances_are_refused(tmp_path: Path) -> None:
    engine = build(tmp_path, STATELESS)
    with pytest.raises(EngineError, match="steps all its instances together"):
        engine.advance(MS, np.array([0]))
    assert not engine.spec.can_snapshot
    engine = build(tmp_path, STATELESS, timestep="2ms")
    engine.advance(MS)
    engine.reset([0], np.array([0]))
    with pytest.raises(EngineError, match="out of step"):
        engine.advance(MS)


def test_values_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    engine = build(tmp_path, STATELESS)
    with pytest.raises(UserError, match=r"mine\.a: could not broadcast .* \(3,\)"):
        engine.write("a", [1, 2, 3])
    with pytest.raises(UserError, match=r"mine\.a: .*'str'|mine\.a: could not convert string"):
        engine.write("a", "high")


def test_the_class_is_chosen_by_name(tmp_path: Path) -> None:
    code = dedent(WALKER) + dedent(STATELESS)
    assert "b" in build(tmp_path, code, class_name="Doubler").spec.outputs
    with pytest.raises(UserError, match=r"which class of '.*mine.py'\? Valid: Doubler, Walker"):
        build(tmp_path, code)
    with pytest.raises(UserError, match=r"unknown name 'Double'. Did you mean 'Doubler'"):
        build(tmp_path, code, class_name="Double")


STEP = "\n  def step(self, duration_ns): pass"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "has no class that derives from troupe.engines.script.Script"),
        ("class A(Script): outputs = {'a': pack()}", "A has no method 'step"),
        (f"class A(Script):{STEP}", "A has no outputs to read"),
        ("class A(Script):\n  outputs = {'a': pack(2, low=[1, 2, 3])}", "raised:\n(?s:.*)line 4"),
        (f"class A(Script):\n  outputs = {{'a': 2}}{STEP}", r"'a' is 2; describe it with pack\("),
        (f"class A(Script):\n  outputs = [pack()]{STEP}", r"A.outputs is no dict"),
        (f"class A(Script):\n  outputs = {{'a b': pack()}}{STEP}", "'a b' cannot be an attr"),
        (f"class A(Script):\n  outputs = {{'rng': pack()}}{STEP}", "'rng' is an attribute of"),
        (
            f"class A(Script):\n  inputs = {{'a': pack()}}\n  outputs = {{'a': pack()}}{STEP}",
            "'a' is an input and another output",
        ),
        (
            f"class A(Script):\n  outputs = {{'a': pack()}}\n  state = ('x',){STEP}",
            "A.state: 'setup' makes no array 'x'",
        ),
        (
            f"class A(Script):\n  outputs = {{'a': pack()}}\n  def setup(self): 1 / 0{STEP}",
            "A cannot be set up:\n(?s:.*)line 5(?s:.*)division by zero",
        ),
    ],
)
def test_a_script_that_cannot_be_used_is_refused(code: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"engines.mine.*{message}"):
        build(tmp_path, code)


def test_close_is_called_once(tmp_path: Path) -> None:
    code = """
        class Opens(Script):
            outputs = {"b": pack()}
            def step(self, duration_ns): pass
            def close(self):
                with open(self.parameters["file"], "a") as file:
                    file.write("closed ")
    """
    log = tmp_path / "log"
    engine = build(tmp_path, code, parameters={"file": str(log)})
    engine.close()
    engine.close()
    assert log.read_text() == "closed "


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-engine-script.md"
    code = page.read_text().partition("```python\n")[2].partition("```")[0]
    engine = build(tmp_path, code, parameters={"gain": 2.5})
    engine.write("angle", [[1, -1], [10, 0]])
    engine.advance(100 * MS)
    assert engine.read("torque") == pytest.approx(np.array([[-2.75, 2.75], [-5, 0]]))


@pytest.mark.parametrize(
    ("check", "value"),
    [
        ("check_spec", "{1, 2}"),
        ("check_reset_is_exact", "[next(counter)]"),
        ("check_instances_are_independent", "{'instances': self.num_instances}"),
    ],
)
def test_the_conformance_suite_judges_json_by_value(check: str, value: str, tmp_path: Path) -> None:
    code = f"""
        from itertools import count
        counter = count()

        class Broken(Script):
            outputs = {{"a": pack(object)}}
            def reset(self, instances, rng):
                for i in instances:
                    self.a[i] = {value}
            def step(self, duration_ns):
                pass
    """
    broken = settings(tmp_path, code)
    (law,) = (c for c in CHECKS if c.__name__ == check)
    with pytest.raises(AssertionError):
        check_engine(Case(lambda n, t: broken.build("mine", n, t), step_ns=MS), (law,))
