from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.core.settings import validated
from troupe.engines.base import Engine
from troupe.engines.conformance import CHECKS, Case, check_advance_by_nothing, check_engine
from troupe.engines.host import open_engine
from troupe.engines.pynn_settings import PynnSettings

MS = 1_000_000

NETWORK = """
def network(sim, size=4):
    source = sim.Population(size, sim.SpikeSourceArray())
    cells = sim.Population(
        size, sim.IF_curr_exp(tau_m=20.0, cm=1.0), initial_values={"v": -60.0}
    )
    sim.Projection(source, cells, sim.OneToOneConnector(), sim.StaticSynapse(weight=3.0, delay=1.0))
    return {"source": source, "cells": cells}
"""

PACKS = {
    "current": {"kind": "current", "population": "cells"},
    "noise": {"kind": "poisson", "population": "source"},
    "weights": {"kind": "weight", "source": "source", "target": "cells"},
    "spikes": {"kind": "spikes", "population": "cells"},
    "rate": {"kind": "rate", "population": "cells"},
    "voltage": {"kind": "voltage", "population": "cells"},
}

Build = Callable[..., Engine]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    engines: list[Engine] = []

    def make(network: str = NETWORK, packs: Any = PACKS, **settings: Any) -> Engine:
        (tmp_path / "brain.py").write_text(network)
        values = {"network": tmp_path / "brain.py", "packs": packs, **settings}
        engines.append(validated(PynnSettings, values, "engines.brain").build("brain", 2, 1))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def case(tmp_path: Path, host: str) -> Case:
    (tmp_path / "brain.py").write_text(NETWORK)

    def make(num_instances: int, threads: int) -> Engine:
        values = {"network": tmp_path / "brain.py", "packs": PACKS, "threads": threads}
        settings = validated(PynnSettings, {**values, "host": host}, "engines.brain")
        return open_engine(settings, "brain", num_instances, threads)

    drive = {"current": (0.0, 2.0), "noise": (0.0, 500.0), "weights": (1.0, 5.0)}
    return Case(make, drive=drive, step_ns=5 * MS)


@pytest.mark.parametrize("check", [c for c in CHECKS if c is not check_advance_by_nothing])
def test_conforms(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(case(tmp_path, "here"), (check,))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_conforms_in_a_process(tmp_path: Path, check: Callable[[Case], None]) -> None:
    check_engine(case(tmp_path, "process"), (check,))


@pytest.mark.slow
def test_two_brains_run_in_two_processes(tmp_path: Path) -> None:
    check_engine(case(tmp_path, "process"), (check_advance_by_nothing,))


def test_units_are_pynns(build: Build) -> None:
    engine = build()
    assert engine.spec.inputs["current"].unit == "nA"
    engine.reset([0, 1])
    engine.advance(0)
    assert (engine.read("weights") == 3.0).all()
    assert (engine.read("voltage") == -60.0).all()
    engine.write("current", 0.5)
    engine.advance(20 * MS)
    # tau_m 20 ms, cm 1 nF: 20 MOhm; V = -65 + 10 (1 - exp(-t/tau)) + 5 exp(-t/tau)
    expected = -65.0 + 10.0 * (1 - np.exp(-1.0)) + 5.0 * np.exp(-1.0)
    assert np.allclose(engine.read("voltage"), expected, rtol=0, atol=1e-9)


def test_spike_sources_are_driven_by_packs(build: Build) -> None:
    packs = {
        "in": {"kind": "inject", "population": "source", "delay": "1ms"},
        "out": {"kind": "spikes", "population": "source"},
    }
    engine = build(packs=packs)
    engine.reset([0, 1])
    engine.write("in", [[0, 1, 2, 3], [3, 2, 1, 0]])
    engine.advance(5 * MS)
    assert engine.read("out").tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_views_and_assemblies_are_populations(build: Build) -> None:
    network = """
def network(sim):
    a, b = sim.Population(3, sim.IF_curr_exp()), sim.Population(2, sim.IF_curr_exp())
    return {"view": a[1:], "both": a + b}
"""
    engine = build(network, None)
    assert {p: s.shape for p, s in engine.spec.outputs.items()} == {
        "view_spikes": (2,),
        "both_spikes": (5,),
    }


def test_setup_takes_its_arguments(build: Build) -> None:
    with pytest.raises(UserError, match=r"engines\.brain\.setup"):
        build(setup={"min_delay": 20.0})


def test_a_wrong_network_is_the_users_error(build: Build) -> None:
    network = "def network(sim):\n    return {'a': sim.Population(3, sim.NoSuchCell())}\n"
    with pytest.raises(UserError, match=r"(?s)engines\.brain\.network: .*NoSuchCell\(\).*Attribut"):
        build(network)
    build()
