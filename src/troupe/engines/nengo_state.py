"""The state of Nengo's own simulator: what it must be given to reset and continue exactly."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
import numpy.typing as npt
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import SimPyFunc
from nengo.builder.processes import SimProcess

# these keep all that changes in signals, or draw from their seed only when they begin
KNOWN_PROCESSES = (
    nengo.synapses.LinearFilter,
    nengo.synapses.Triangle,
    nengo.processes.WhiteSignal,
    nengo.processes.PresentInput,
    nengo.processes.Piecewise,
)


def reset(simulator: Any, seed: int) -> None:
    """Return a simulator to its initial state, with noise that follows from a seed.

    Nengo's own reset leaves the generators of stochastic neurons where they are.
    """
    simulator.reset(seed=seed)
    rng = np.random.RandomState(seed)
    for op in getattr(simulator, "step_order", ()):
        if isinstance(op, SimNeurons):
            for generator in op.state_extra.values():
                generator.seed(rng.randint(2**31))


def is_in_signals(simulator: Any, num_inputs: int) -> bool:
    """Return whether a simulator's signals are all its state.

    They are not for other simulators than Nengo's, for networks that draw random numbers while
    they run, or for nodes that call functions, which may keep anything. The optimizer merges
    signals in an order that differs from one simulator to the next.
    """
    if type(simulator) is not nengo.Simulator or simulator.optimize:
        return False
    ops = simulator.step_order
    return (
        sum(isinstance(op, SimPyFunc) for op in ops) == num_inputs
        and not any(op.state_extra for op in ops if isinstance(op, SimNeurons))
        and all(isinstance(op.process, KNOWN_PROCESSES) for op in ops if isinstance(op, SimProcess))
        and not any(signal.sparse and not signal.readonly for signal in simulator.signals)
    )


def state(simulator: Any) -> npt.NDArray[np.uint8]:
    """Return the bytes of all signals."""
    parts = [np.ascontiguousarray(values).reshape(-1) for values in _signals(simulator)]
    return np.concatenate([part.view(np.uint8) for part in parts])


def set_state(simulator: Any, data: npt.NDArray[np.uint8]) -> None:
    """Set all signals to what `state` returned."""
    start = 0
    for values in _signals(simulator):
        part = data[start : start + values.nbytes]
        values[...] = np.frombuffer(part.tobytes(), values.dtype).reshape(values.shape)
        start += values.nbytes


def _signals(simulator: Any) -> list[npt.NDArray[Any]]:
    # views are parts of others
    changing = [s for s in simulator.signals if not s.readonly and not s.is_view]
    return [simulator.signals[signal] for signal in changing]
