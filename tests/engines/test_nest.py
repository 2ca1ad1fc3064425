import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import EngineError, UserError
from troupe.core.settings import validated
from troupe.engines.base import Engine
from troupe.engines.conformance import CHECKS, Case, check_advance_by_nothing, check_engine
from troupe.engines.host import open_engine
from troupe.engines.nest_settings import NestSettings, describe_nest

MS = 1_000_000

NETWORK = """
def network(nest, size=4, weight=200.0):
    a = nest.Create("iaf_psc_alpha", size)
    b = nest.Create("iaf_psc_exp", size // 2, params={"I_e": 300.0})
    nest.Connect(a, b, syn_spec={"weight": weight, "delay": 1.5})
    return {"a": a, "b": b}
"""

PACKS = {
    "current": {"kind": "current", "population": "a"},
    "noise": {"kind": "poisson", "population": "a", "weight": 300.0},
    "kicks": {"kind": "inject", "population": "b", "weight": 2000.0},
    "capacity": {"kind": "parameter", "population": "a", "field": "C_m", "unit": "pF"},
    "potential": {"kind": "parameter", "population": "a", "field": "V_m", "unit": "mV"},
    "weights": {"kind": "weight", "source": "a", "target": "b"},
    "spikes": {"kind": "spikes", "population": "b"},
    "rate": {"kind": "rate", "population": "b"},
    "voltage": {"kind": "voltage", "population": "b"},
}

DRIVE = {
    "current": (0.0, 500.0),
    "noise": (0.0, 2000.0),
    "kicks": (0.0, 3.0),
    "capacity": (200.0, 300.0),
    "potential": (-70.0, -60.0),
    "weights": (100.0, 300.0),
}

Build = Callable[..., Engine]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    engines: list[Engine] = []

    def make(
        network: str = NETWORK, packs: Any = None, num_instances: int = 2, **settings: Any
    ) -> Engine:
        (tmp_path / "brain.py").write_text(network)
        values = {"network": tmp_path / "brain.py", "packs": packs, **settings}
        parsed = validated(NestSettings, values, "engines.brain")
        engines.append(parsed.build("brain", num_instances, 1))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def case(tmp_path: Path, host: str) -> Case:
    (tmp_path / "brain.py").write_text(NETWORK)

    def make(num_instances: int, threads: int) -> Engine:
        values = {"network": tmp_path / "brain.py", "packs": PACKS, "threads": threads}
        settings = validated(NestSettings, {**values, "host": host}, "engines.brain")
        return open_engine(settings, "brain", num_instances, threads)

    return Case(make, drive=DRIVE, step_ns=5 * MS)


@pytest.mark.parametrize("check", [c for c in CHECKS if c is not check_advance_by_nothing])
def test_conforms(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(case(tmp_path, "here"), (check,))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_conforms_in_a_process(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(case(tmp_path, "process"), (check,))


def test_two_brains_run_in_two_processes(tmp_path: Path) -> None:
    check_engine(case(tmp_path, "process"), (check_advance_by_nothing,))


def test_a_process_of_its_own_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "brain.py").write_text(NETWORK)
    assert NestSettings(network=tmp_path / "brain.py").host == "process"


def test_one_process_has_one_kernel(build: Build) -> None:
    first = build()
    with pytest.raises(EngineError, match=r"'brain' holds the NEST kernel.*'host: process'"):
        build()
    first.close()
    build()


def test_current_charges_the_membrane_as_its_equation_says(build: Build) -> None:
    packs = {k: PACKS[k] for k in ("current", "potential")}
    engine = build(packs=packs)
    engine.reset([0, 1])
    engine.write("current", 100.0, np.array([1]))
    engine.advance(20 * MS)
    # tau_m 10 ms, C_m 250 pF: V = E_L + I tau_m / C_m (1 - exp(-t / tau_m))
    charged = -70.0 + 4.0 * (1 - np.exp(-2.0))
    assert np.allclose(engine.read("potential"), [[-70.0], [charged]], rtol=0, atol=1e-12)


def test_current_adds_to_the_networks_own(build: Build) -> None:
    packs = {"current": {"kind": "current", "population": "b"}, "voltage": PACKS["voltage"]}
    engine = build(packs=packs, num_instances=1)
    engine.reset([0])
    engine.write("current", -300.0)
    engine.advance(20 * MS)
    assert np.allclose(engine.read("voltage"), -70.0)
    engine.reset([0])
    engine.advance(20 * MS)
    assert (engine.read("voltage") > -65.0).all()


def test_default_packs_are_the_spikes_of_each_population(build: Build) -> None:
    engine = build(num_instances=1)
    assert list(engine.spec.outputs) == ["a_spikes", "b_spikes"]
    assert not engine.spec.inputs


PARROTS = """
def network(nest):
    first, second = nest.Create("parrot_neuron", 3), nest.Create("parrot_neuron", 3)
    nest.Connect(first, second, "one_to_one", syn_spec={"delay": 2.0})
    return {"first": first, "second": second}
"""


def test_injected_spikes_arrive_once_after_the_delay(build: Build) -> None:
    packs = {
        "in": {"kind": "inject", "population": "first", "delay": "3ms"},
        "out": {"kind": "spikes", "population": "first"},
    }
    engine = build(PARROTS, packs)
    engine.reset([0, 1])
    engine.write("in", [[0, 1, 3], [0, 0, 2]])
    engine.advance(0)
    engine.advance(3 * MS)
    assert not engine.read("out").any()
    engine.advance(1 * MS)
    assert engine.read("out").tolist() == [[0, 1, 3], [0, 0, 2]]
    engine.advance(0)
    assert engine.read("out").tolist() == [[0, 1, 3], [0, 0, 2]]
    engine.advance(20 * MS)
    assert not engine.read("out").any()


def test_noise_has_its_rate_and_is_each_instances_own(build: Build) -> None:
    packs = {
        "noise": {"kind": "poisson", "population": "first"},
        "out": {"kind": "spikes", "population": "first"},
    }
    engine = build(PARROTS, packs, num_instances=50)
    engine.reset(range(50))
    engine.write("noise", [0.0, 100.0, 1000.0])
    engine.advance(1000 * MS)
    counts = engine.read("out")
    assert not counts[:, 0].any()
    assert abs(counts[:, 1].mean() - 100) < 5 * np.sqrt(100 / 50)
    assert abs(counts[:, 2].mean() - 1000) < 5 * np.sqrt(1000 / 50)
    assert len(np.unique(counts[:, 2])) > 20


def test_rate_is_the_filtered_spikes(build: Build) -> None:
    packs = {
        "in": {"kind": "inject", "population": "first", "delay": "1ms"},
        "rate": {"kind": "rate", "population": "first", "tau": "50ms"},
    }
    engine = build(PARROTS, packs, num_instances=1)
    engine.reset([0])
    engine.write("in", [0, 1, 2])
    engine.advance(30 * MS)
    # sent at 0.1 ms, fired at 1.1 ms
    one = np.exp(-(0.030 - 0.0011) / 0.05) / 0.05
    assert np.allclose(engine.read("rate"), [[0, one, 2 * one]], rtol=1e-12)


def test_weights_are_ordered_by_source_and_can_be_written(build: Build) -> None:
    network = """
def network(nest, instance):
    a, b = nest.Create("parrot_neuron", 2), nest.Create("iaf_psc_alpha", 2)
    for i in (1, 0):
        for j in (1, 0):
            nest.Connect(a[i], b[j], syn_spec={"weight": 100.0 * instance + 10.0 * i + j})
    return {"a": a, "b": b}
"""
    packs = {
        "weights": {"kind": "weight", "source": "a", "target": "b"},
        "in": {"kind": "inject", "population": "a"},
        "voltage": PACKS["voltage"],
    }
    engine = build(network, packs)
    engine.reset([0, 1])
    assert engine.read("weights").tolist() == [[0, 1, 10, 11], [100, 101, 110, 111]]
    engine.write("weights", [[0, 0, 0, 500.0]], np.array([1]))
    engine.write("in", 1)
    engine.advance(10 * MS)
    assert engine.read("weights").tolist() == [[0, 1, 10, 11], [0, 0, 0, 500]]
    depolarised = engine.read("voltage") > -70.0
    assert depolarised.tolist() == [[True, True], [False, True]]


def test_the_streams_of_a_network_follow_from_its_copys_seed(build: Build) -> None:
    network = """
def network(nest, rng):
    return {"a": nest.Create("iaf_psc_alpha", 3, params={"V_th": list(rng.uniform(-50, -40, 3))})}
"""
    packs = {"threshold": {"kind": "parameter", "population": "a", "field": "V_th"}}
    engine = build(network, packs)
    engine.reset([3, 4])
    first = engine.read("threshold").copy()
    assert not (first[0] == first[1]).any()
    engine.reset([4, 4])
    assert np.array_equal(engine.read("threshold"), [first[1], first[1]])


def test_a_reset_of_one_copy_returns_what_was_written(build: Build) -> None:
    engine = build(packs=PACKS)
    engine.reset([0, 1])
    engine.advance(0)
    initial = {pack: engine.read(pack).copy() for pack in engine.spec.outputs}
    engine.write("capacity", 300.0)
    engine.write("weights", 1.0)
    engine.write("noise", 5000.0)
    engine.write("current", 900.0)
    engine.advance(50 * MS)
    engine.reset([1], np.array([1]))
    engine.advance(0)
    for pack in engine.spec.outputs:
        assert np.array_equal(engine.read(pack)[1], initial[pack][1]), pack
    assert (engine.read("capacity")[0] == 300.0).all()
    # what drove it is gone: after the spikes on their way it rests
    engine.advance(200 * MS)
    assert np.allclose(engine.read("potential")[1], -70.0, atol=1e-6)


def test_copies_share_one_clock(build: Build) -> None:
    engine = build()
    engine.reset([0, 1])
    with pytest.raises(EngineError, match=r"engines\.brain: all copies .* advance together"):
        engine.advance(MS, np.array([1]))


def test_there_are_no_snapshots(build: Build) -> None:
    engine = build()
    assert not engine.spec.can_snapshot
    with pytest.raises(EngineError, match=r"no snapshots"):
        engine.snapshot()
    with pytest.raises(EngineError, match=r"no snapshots"):
        engine.restore({})


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("def network(nest):\n    return 1 / 0\n", r"line 2, in network\n.*1 / 0\n.*ZeroDivision"),
        ("def network(nest):\n    return None\n", r"returned None; it must return a dict"),
        ("def network(nest):\n    return {'a': 3}\n", r"returned 3 as population 'a'"),
        ("def brain(nest):\n    pass\n", r"unknown name 'network'.*Valid: brain"),
        ("def network(nest):\n    return {'a': nest.Create('iaf_psc')}\n", r"iaf_psc"),
        ("import no_such_module\n", r"No module named 'no_such_module'"),
        ("def network(nest, rng, other):\n    return {}\n", r"other"),
    ],
)
def test_a_wrong_network_is_the_users_error(build: Build, network: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)engines\.brain\.network: .*brain\.py.*{message}"):
        build(network)
    build()  # the kernel was given back


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (
            {"kind": "voltage", "population": "c"},
            r"population: unknown population 'c'\. Valid: a, b",
        ),
        (
            {"kind": "parameter", "population": "a", "field": "C"},
            r"field: unknown parameter of 'a' 'C'.*C_m",
        ),
        (
            {"kind": "weight", "source": "b", "target": "a"},
            r": there is no synapse from 'b' to 'a'",
        ),
        (
            {"kind": "poisson", "population": "a", "delay": "10us"},
            r"delay: it is shorter than the engine's timestep",
        ),
    ],
)
def test_a_wrong_pack_is_the_users_error(build: Build, pack: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)engines\.brain\.packs\.p.*{message}"):
        build(packs={"p": pack})


def test_a_neuron_without_currents_takes_none(build: Build) -> None:
    packs = {"p": {"kind": "current", "population": "first"}}
    with pytest.raises(UserError, match=r"unknown parameter of 'first' 'I_e'"):
        build(PARROTS, packs)


def test_a_timestep_that_nest_cannot_keep_is_the_users_error(build: Build) -> None:
    with pytest.raises(UserError, match=r"engines\.brain\.timestep"):
        build(timestep="1/3ms")


def test_what_nest_refuses_while_it_runs_is_an_engine_error(build: Build) -> None:
    engine = build(packs=PACKS)
    engine.reset([0, 1])
    engine.write("capacity", -1.0)
    with pytest.raises(EngineError, match=r"engines\.brain: .*[Cc]apacitance"):
        engine.advance(MS)


def test_without_nest_the_extra_is_named(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nest", None)
    with pytest.raises(UserError, match=r"engines\.brain: NEST is not .*'troupe\[nest\]'"):
        build()


def test_nest_is_silent_and_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "brain.py").write_text(NETWORK)
    code = (
        "import os, sys; from troupe.engines.nest_settings import NestSettings; "
        "flags, env = sys.getdlopenflags(), dict(os.environ); "
        "e = NestSettings(network='brain.py').build('brain', 2, 1); e.reset([0, 1]); "
        "e.advance(10**7); e.close(); "
        "assert sys.getdlopenflags() == flags and dict(os.environ) == env; "
        "assert sys.argv == ['-c', '--version']"
    )
    command = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nest_is_described() -> None:
    assert "NEST 3." in describe_nest()
    assert "threads" in describe_nest()
