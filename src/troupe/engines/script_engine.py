"""Runs a user's `Script` as an engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids, as_indices
from troupe.core.errors import EngineError, UserError
from troupe.core.json_values import stored, unstored
from troupe.core.seeding import Streams
from troupe.core.time import format_duration
from troupe.core.user_code import user_traceback
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.script import assign
from troupe.engines.script_arrays import generator_states, set_generator_state
from troupe.engines.script_load import bind_arrays, load_script
from troupe.engines.script_settings import ScriptSettings

Arrays = dict[str, npt.NDArray[Any]]


class ScriptEngine:
    """Steps a user's script, all instances in one call.

    What a step costs beyond the user's code is a call, and a copy for each pack written. A
    snapshot holds the packs, the arrays that the class names as its ``state``, and the state of
    its generators; a class that names none offers no snapshots.
    """

    def __init__(self, settings: ScriptSettings, name: str, num_instances: int) -> None:
        """Load the script and set it up.

        Raises:
            UserError: if the file or the class cannot be used.
        """
        self._script = load_script(settings, f"engines.{name}", num_instances)
        inputs, outputs = bind_arrays(self._script, f"engines.{name}")
        self.spec = EngineSpec(
            name=name,
            # a script without a step of its own takes any duration
            timestep_ns=settings.timestep or Fraction(1),
            num_instances=num_instances,
            inputs=inputs,
            outputs=outputs,
            can_snapshot=self._script.state is not None,
        )
        self._timestep_ns = settings.timestep
        self._counter = StepCounter(self.spec.timestep_ns, num_instances)
        self._num_steps = np.zeros(num_instances, np.int64)
        # packs, and the script's own state
        self._arrays = self._script._arrays
        self._inputs = {pack: self._arrays[pack] for pack in inputs}
        self._outputs = {pack: self._arrays[pack] for pack in outputs}
        self._seeds = np.zeros(num_instances, np.uint64)
        self._initial = copy.deepcopy(self._arrays)
        self._faults: list[Fault] = []
        self._closed = False

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return packs and state to their initial values, then call the script's ``reset``."""
        ids = as_indices(instances, self.spec.num_instances)
        self._seeds[ids] = list(seeds)
        self._begin(ids)

    def write(self, pack: str, value: Any, instances: Ids | None = None) -> None:
        """Set an input of instances; the script sees it in its next step."""
        if pack not in self._inputs:
            check_pack(self.spec.inputs, pack, self.spec.name)
        try:
            assign(self._inputs[pack], value, ... if instances is None else instances)
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.spec.name}.{pack}: {error}.") from error

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Call the script's ``step``, once or for each of its time steps; by 0, do nothing.

        Raises:
            EngineError: if the script raises, or is to step some instances only.
        """
        self._faults = []
        if duration_ns == 0:
            return
        if instances is not None:
            raise EngineError(f"{self.spec.name}: a script steps all its instances together.")
        if self._timestep_ns is None:
            self._step(duration_ns)
            self._script.time_ns += duration_ns
        else:
            self._advance_by_timesteps(duration_ns, self._timestep_ns)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return the script's own array of an output."""
        if pack not in self._outputs:
            check_pack(self.spec.outputs, pack, self.spec.name)
        return self._outputs[pack]

    def faults(self) -> Sequence[Fault]:
        """Return the instances that the script let fail in the last advance."""
        return self._faults

    def snapshot(self) -> Arrays:
        """Return copies of packs, state and generators; JSON as rows of bytes."""
        arrays = {name: stored(values) for name, values in self._arrays.items()}
        # no name of a script's has a slash
        return arrays | {
            "engine/rng": generator_states(self._script.rng),
            "engine/seed": self._seeds.copy(),
            "engine/time_ns": self._script.time_ns.copy(),
            "engine/num_steps": self._num_steps.copy(),
            "engine/remainder": self._counter.remainder.copy(),
        }

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return packs, state and generators of instances to those of a snapshot."""
        ids = as_indices(instances, self.spec.num_instances)
        for name, values in self._arrays.items():
            assign(values, unstored(snapshot[name][ids], values.dtype), ids)
        for i in ids:
            set_generator_state(self._script.rng[i], snapshot["engine/rng"][i])
        self._seeds[ids] = snapshot["engine/seed"][ids]
        self._script.time_ns[ids] = snapshot["engine/time_ns"][ids]
        self._num_steps[ids] = snapshot["engine/num_steps"][ids]
        self._counter.remainder[ids] = snapshot["engine/remainder"][ids]

    def close(self) -> None:
        """Call the script's ``close``."""
        if not self._closed:
            self._closed = True
            self._call(self._script.close)

    def _begin(self, ids: Ids) -> None:
        for name, values in self._arrays.items():
            assign(values, copy.deepcopy(self._initial[name][ids]), ids)
        rng = [Streams(int(seed)).generator("script") for seed in self._seeds[ids]]
        for i, generator in zip(ids, rng, strict=True):
            self._script.rng[i] = generator
        self._script.time_ns[ids] = 0
        self._num_steps[ids] = 0
        self._counter.reset(ids)
        self._script._failures.clear()
        self._call(self._script.reset, ids, rng)

    def _advance_by_timesteps(self, duration_ns: int, timestep_ns: Fraction) -> None:
        groups = self._counter.advance(duration_ns)
        if len(groups) > 1:
            raise EngineError(
                f"{self.spec.name}: its instances were reset between two of its time steps and are "
                "out of step; let it advance by whole time steps, or leave 'timestep' out."
            )
        for _ in range(groups[0].count):
            self._step(round(timestep_ns))
            self._num_steps += 1
            # from the count, which is exact also for steps of 1/240 s
            time_ns = self._num_steps * timestep_ns.numerator // timestep_ns.denominator
            self._script.time_ns[:] = time_ns

    def _step(self, duration_ns: int) -> None:
        try:
            self._script.step(duration_ns)
        except Exception as error:
            raise self._error(error) from error
        if self._script._failures:
            self._recover()

    def _recover(self) -> None:
        failures = dict(self._script._failures)
        for i, reason in failures.items():
            last_state = {name: values[i].copy() for name, values in self._arrays.items()}
            self._faults.append(Fault(i, reason, last_state))
        self._begin(np.array(list(failures), np.int64))

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> EngineError:
        first, last = (int(f(self._script.time_ns)) for f in (np.min, np.max))
        time = format_duration(first) + (f" to {format_duration(last)}" if last > first else "")
        return EngineError(
            f"{self.spec.name}: at {time} the script raised:\n{user_traceback(error)}"
        )
