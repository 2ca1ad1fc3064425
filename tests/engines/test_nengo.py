from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import nengo
import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.nengo import NengoEngine
from troupe.engines.nengo_settings import NengoSettings

MS = 1_000_000

PLAIN = """
    def model(size=2):
        with nengo.Network() as network:
            angle = nengo.Node([0.5] * size, label="angle")
            push = nengo.Node(size_in=1, label="push")
            ensemble = nengo.Ensemble(30, size)
            nengo.Connection(angle, ensemble)
            nengo.Connection(push, ensemble[0])
            nengo.Probe(ensemble, synapse=0.01, label="decoded")
            nengo.Probe(ensemble.neurons, label="spikes")
        return network
"""

NOISY = """
    def model():
        with nengo.Network(seed=3) as network:
            angle = nengo.Node([0], label="angle")
            noise = nengo.Node(nengo.processes.WhiteNoise())
            stochastic = nengo.Ensemble(30, 1, neuron_type=nengo.PoissonSpiking(nengo.LIFRate()))
            for node in (angle, noise):
                nengo.Connection(node, stochastic)
            nengo.Probe(stochastic, synapse=0.01, label="decoded")
        return network
"""

LEARNING = """
    def model():
        with nengo.Network(seed=3) as network:
            angle = nengo.Node([0.5], label="angle")
            pre, post = nengo.Ensemble(30, 1), nengo.Ensemble(30, 1)
            nengo.Connection(angle, pre)
            learned = nengo.Connection(
                pre, post, function=lambda x: 0, learning_rule_type=nengo.PES(1e-3)
            )
            error = nengo.Node(size_in=1)
            nengo.Connection(post, error)
            nengo.Connection(angle, error, transform=-1)
            nengo.Connection(error, learned.learning_rule)
            nengo.Probe(post, synapse=0.03, label="decoded")
            nengo.Probe(learned, "weights", label="weights", sample_every=0.004)
        return network
"""


LOOP = """
    def model():
        with nengo.Network() as network:
            nodes = [nengo.Node(lambda t, x: x, size_in=1) for _ in range(2)]
            for pre, post in zip(nodes, nodes[::-1]):
                nengo.Connection(pre, post, synapse=None)
            nengo.Probe(nodes[0], label="out")
        return network
"""


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    """Keep files of Nengo's cache of decoders, which processes share, out of the tests."""
    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    yield
    nengo.rc.set("decoder_cache", "enabled", before)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., NengoEngine]]:
    engines = []

    def make(code: str, num_instances: int = 2, **more: Any) -> NengoEngine:
        engine = settings(tmp_path, code, **more).build("brain", num_instances, 1)
        engines.append(engine)
        engine.reset(range(num_instances))
        return engine

    yield make
    for engine in engines:
        engine.close()


def settings(folder: Path, code: str, **more: Any) -> NengoSettings:
    (folder / "brain.py").write_text("import nengo\n" + dedent(code))
    return NengoSettings(model=folder / "brain.py", **more)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("code", [NOISY, LEARNING], ids=["noisy", "learning"])
def test_conforms(code: str, check: Callable[[Case], None], tmp_path: Path) -> None:
    brain = settings(tmp_path, code)
    case = Case(lambda n, t: brain.build("brain", n, t), drive={"angle": (-1, 1)})
    check_engine(case, (check,))


def test_does_the_same_as_nengo(build: Callable[..., NengoEngine]) -> None:
    engine = build(PLAIN, 1, seed=5)
    engine.write("angle", [0.3, -0.8])
    engine.advance(100 * MS)
    with nengo.Network(seed=5) as network:
        angle, push = nengo.Node([0.3, -0.8]), nengo.Node([0])
        ensemble = nengo.Ensemble(30, 2)
        nengo.Connection(angle, ensemble)
        nengo.Connection(push, ensemble[0])
        probe = nengo.Probe(ensemble, synapse=0.01)
    with nengo.Simulator(network, progress_bar=False, optimize=False) as simulator:
        simulator.run_steps(100)
        expected = simulator.data[probe][-1]
    assert np.array_equal(engine.read("decoded")[0], expected)


def test_packs_are_labelled_nodes_and_probes(build: Callable[..., NengoEngine]) -> None:
    spec = build(PLAIN, parameters={"size": 3}).spec
    assert {pack: s.shape for pack, s in spec.inputs.items()} == {"angle": (3,), "push": (1,)}
    assert {pack: s.shape for pack, s in spec.outputs.items()} == {"decoded": (3,), "spikes": (30,)}
    spec = build(PLAIN, packs={"joints": "angle", "command": "decoded"}).spec
    assert list(spec.inputs) == ["joints"]
    assert list(spec.outputs) == ["command"]


def test_packs_may_be_returned_by_the_function(build: Callable[..., NengoEngine]) -> None:
    code = """
        def model():
            with nengo.Network() as network:
                array = nengo.networks.EnsembleArray(20, 2)
                probe = nengo.Probe(array.output, synapse=0.03)
            return network, {"angle": array.input}, {"command": probe}
    """
    engine = build(code)
    engine.write("angle", [[0.9, -0.9], [-0.9, 0.9]])
    engine.advance(200 * MS)
    signs = [[1, -1], [-1, 1]]
    assert np.sign(engine.read("command")).tolist() == signs


def test_inputs_return_to_the_nodes_values(build: Callable[..., NengoEngine]) -> None:
    engine = build(PLAIN)
    engine.advance(50 * MS)
    expected = engine.read("decoded").copy()
    engine.reset([0, 1])
    engine.write("angle", [[0.5, 0.5], [-0.5, -0.5]])
    engine.advance(50 * MS)
    assert np.array_equal(engine.read("decoded")[0], expected[0])
    assert not np.array_equal(engine.read("decoded")[1], expected[1])
    engine.reset([1], np.array([1]))
    assert engine.read("decoded")[1].tolist() == [0, 0]
    engine.advance(50 * MS)
    assert np.array_equal(engine.read("decoded")[1], expected[1])


def test_noise_follows_the_seed_but_neurons_do_not(build: Callable[..., NengoEngine]) -> None:
    engine = build(NOISY)
    engine.advance(50 * MS)
    decoded = engine.read("decoded")
    assert not np.array_equal(decoded[0], decoded[1])
    engine.reset([7, 7])
    engine.advance(50 * MS)
    assert np.array_equal(decoded[0], decoded[1])
    assert not engine.spec.can_snapshot
    assert build(PLAIN).spec.can_snapshot


def test_what_was_learned_is_forgotten_at_a_reset(build: Callable[..., NengoEngine]) -> None:
    engine = build(LEARNING)
    engine.advance(400 * MS)
    assert abs(engine.read("decoded") - 0.5).max() < 0.2
    assert engine.read("weights").any()
    engine.reset([0], np.array([0]))
    engine.advance(5 * MS)
    weights = np.abs(engine.read("weights")).max(axis=(1, 2))
    assert weights[0] < 0.1 * weights[1]


def test_samples_of_probes_are_not_kept(build: Callable[..., NengoEngine]) -> None:
    engine = build(PLAIN, 1)
    engine.advance(5 * MS)
    (simulator,) = engine._simulators
    assert all(len(simulator.data[probe]) == 0 for probe in simulator.model.probes)


def test_an_instance_with_a_value_that_is_not_finite_fails_alone(
    build: Callable[..., NengoEngine],
) -> None:
    engine, other = build(PLAIN), build(PLAIN)
    engine.write("angle", np.nan, np.array([1]))
    engine.advance(5 * MS)
    (fault,) = engine.faults()
    assert fault.instance == 1
    assert np.isnan(fault.last_state["angle"]).all()
    other.advance(5 * MS)
    assert np.array_equal(engine.read("decoded")[0], other.read("decoded")[0])
    engine.advance(5 * MS)
    assert not engine.faults()
    assert np.array_equal(engine.read("decoded")[1], other.read("decoded")[1])


def test_an_error_of_a_node_is_told_with_its_line(build: Callable[..., NengoEngine]) -> None:
    code = """
        def explode(t):
            return 1 / 0 if t > 0.002 else 0.0

        def model():
            with nengo.Network() as network:
                nengo.Probe(nengo.Node(explode), label="out")
            return network
    """
    engine = build(code)
    engine.advance(2 * MS)
    with pytest.raises(EngineError, match=r"(?s)brain: .*brain\.py.*explode.*ZeroDivisionError"):
        engine.advance(2 * MS)


@pytest.mark.parametrize(
    ("code", "more", "message"),
    [
        ("def modell(): pass", {}, r"model: .*unknown name 'model'. Did you mean 'modell'"),
        ("def model(): 1 / 0", {}, "'model' raised:\n(?s:.*)ZeroDivisionError"),
        ("def model(): return 3", {}, "'model' returned 3, not a nengo.Network"),
        ("def model(): return nengo.Network()", {}, "no nengo.Probe with a label"),
        (PLAIN, {"packs": {"x": "angel"}}, r"packs.x: unknown label .*Did you mean 'angle'"),
        (PLAIN, {"simulator": "nengo:Simulatr"}, "simulator: 'nengo:Simulatr' cannot be imported"),
        (PLAIN, {"simulator_options": {"fast": 1}}, "simulator_options: .*'fast'"),
        (LOOP, {}, "cannot be built:\n(?s:.*)cycles"),
    ],
)
def test_models_that_cannot_be_used_are_refused(
    code: str, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=f"engines.brain.{message}|engines.brain.model: .*{message}"
    ):
        settings(tmp_path, code, **more).build("brain", 1, 1)


def test_nodes_that_have_an_output_cannot_be_written(
    build: Callable[..., NengoEngine], tmp_path: Path
) -> None:
    code = """
        def model():
            with nengo.Network() as network:
                nengo.Node(lambda t: t, label="clock")
                relay = nengo.Node(size_in=1, label="relay")
                nengo.Connection(nengo.Node(1, label="one"), relay)
                nengo.Probe(relay, label="out")
            return network
    """
    assert list(build(code).spec.inputs) == ["one"]
    for label in ("clock", "relay"):
        with pytest.raises(UserError, match=r"packs\.a: .* cannot be written"):
            settings(tmp_path, code, packs={"a": label, "b": "out"}).build("brain", 1, 1)
