"""Networks of spiking neurons and other brain models in Nengo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo.exceptions
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids, as_indices
from troupe.core.errors import EngineError, UserError
from troupe.core.seeding import Streams
from troupe.core.user_code import user_traceback
from troupe.engines import nengo_state
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.nengo_model import (
    feed,
    initial_value,
    model_function,
    shape,
    simulator_maker,
)
from troupe.engines.nengo_settings import NengoSettings


class NengoEngine:
    """Runs a Nengo network in one simulator for each instance.

    Packs to write are nodes, which put out what was written; packs to read are the newest values
    of probes, zeros before the first. Of one simulator with a copy of the network for each
    instance, some could not be reset alone.

    All instances have the same neurons, which follow from the network's seed. The seed of a reset
    makes the noise of processes without a seed of their own, and of stochastic neurons. What was
    learned is forgotten at a reset; what Python functions in nodes keep is not: keep it in a
    `nengo.Process`. Nengo's optimizer, which makes steps about twice as fast, is off unless
    ``simulator_options`` has ``optimize: true``: its order of summation differs from one simulator
    to the next.

    There are snapshots if all that changes is in Nengo's signals: with Nengo's own simulator and
    without its optimizer, nodes that call functions, stochastic neurons or noise processes.
    """

    def __init__(self, settings: NengoSettings, name: str, num_instances: int) -> None:
        """Build the networks.

        Raises:
            UserError: if the file or the network cannot be used.
        """
        where = f"engines.{name}"
        make_model = model_function(settings, where)
        make_simulator = simulator_maker(settings, where)
        models = [make_model() for _ in range(num_instances)]
        self._initial = {pack: initial_value(n) for pack, n in models[0].inputs.items()}
        self._inputs = {p: np.tile(v, (num_instances, 1)) for p, v in self._initial.items()}
        self._probes = [model.outputs for model in models]
        self._simulators: list[Any] = []
        try:
            for i, model in enumerate(models):
                for pack, node in model.inputs.items():
                    feed(node, self._inputs[pack][i])
                self._simulators.append(make_simulator(model.network))
        except Exception as error:
            self.close()
            message = f"the network cannot be built:\n{user_traceback(error)}"
            raise UserError(f"{where}.model: {message}") from error
        first = self._simulators[0]
        self.spec = EngineSpec(
            name=name,
            timestep_ns=settings.timestep,
            num_instances=num_instances,
            inputs={pack: ArraySpec(value.shape) for pack, value in self._initial.items()},
            outputs={p: ArraySpec(shape(o, first)) for p, o in models[0].outputs.items()},
            can_snapshot=nengo_state.is_in_signals(first, len(self._inputs)),
        )
        self._outputs = {
            pack: np.zeros((num_instances, *spec.shape)) for pack, spec in self.spec.outputs.items()
        }
        self._counter = StepCounter(settings.timestep, num_instances)
        self._seeds = np.zeros(num_instances, np.uint64)
        self._faults: list[Fault] = []

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to their initial state and inputs to their nodes' own values."""
        ids = as_indices(instances, self.spec.num_instances)
        self._seeds[ids] = list(seeds)
        for i in ids:
            self._begin(int(i))

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set what a node puts out, until it is set again."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        self._inputs[pack][... if instances is None else instances] = value

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Run the networks of instances, one after the other.

        Raises:
            EngineError: if a function of the user's raises.
        """
        self._faults = []
        if duration_ns == 0:
            return
        for steps in self._counter.advance(duration_ns, instances):
            for i in as_indices(steps.instances, self.spec.num_instances):
                if steps.count:
                    self._run(int(i), steps.count)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a probe's newest values, (num_instances, size)."""
        check_pack(self.spec.outputs, pack, self.spec.name)
        return self._outputs[pack]

    def faults(self) -> Sequence[Fault]:
        """Return the instances in which a value was not finite."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the signals of all simulators, as bytes, and the packs."""
        packs = {f"input/{pack}": values.copy() for pack, values in self._inputs.items()}
        packs |= {f"output/{pack}": values.copy() for pack, values in self._outputs.items()}
        return packs | {
            "signals": np.stack([nengo_state.state(s) for s in self._simulators]),
            "seed": self._seeds.copy(),
            "remainder": self._counter.remainder.copy(),
        }

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Set the signals of instances to those of a snapshot."""
        ids = as_indices(instances, self.spec.num_instances)
        self._seeds[ids] = snapshot["seed"][ids]
        for i in ids:
            # input signals of processes follow from the seed
            self._begin(int(i))
            nengo_state.set_state(self._simulators[i], snapshot["signals"][i])
        for kind, packs in (("input", self._inputs), ("output", self._outputs)):
            for pack, values in packs.items():
                values[ids] = snapshot[f"{kind}/{pack}"][ids]
        self._counter.remainder[ids] = snapshot["remainder"][ids]

    def close(self) -> None:
        """Close the simulators."""
        for simulator in self._simulators:
            simulator.close()
        self._simulators = []

    def _begin(self, i: int) -> None:
        seed = Streams(int(self._seeds[i])).seed("nengo")
        nengo_state.reset(self._simulators[i], seed % 2**31)
        for pack, value in self._initial.items():
            self._inputs[pack][i] = value
        for values in self._outputs.values():
            values[i] = 0.0
        self._counter.remainder[i] = 0

    def _run(self, i: int, num_steps: int) -> None:
        simulator = self._simulators[i]
        try:
            simulator.run_steps(num_steps)
        except (FloatingPointError, nengo.exceptions.SimulationError) as error:
            self._fail(i, str(error))
            return
        except Exception as error:
            message = f"a function of the network raised:\n{user_traceback(error)}"
            raise EngineError(f"{self.spec.name}: {message}") from error
        for pack, probe in self._probes[i].items():
            samples = simulator.data[probe]
            # a probe may take samples less often than each step
            if len(samples):
                self._outputs[pack][i] = samples[-1]
        simulator.clear_probes()
        if not all(np.isfinite(values[i]).all() for values in self._outputs.values()):
            self._fail(i, "a probed value is not finite")

    def _fail(self, i: int, reason: str) -> None:
        last_state = {
            pack: values[i].copy() for pack, values in (self._inputs | self._outputs).items()
        }
        self._faults.append(Fault(i, reason, last_state))
        self._begin(i)
