"""Copies of a network of spiking neurons in one NEST kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids, as_indices
from troupe.core.errors import EngineError, UserError
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.nest_bind import NEST_UNITS, BrainSettings, Units, bind
from troupe.engines.nest_groups import Group
from troupe.engines.nest_kernel import Kernel, Populations
from troupe.engines.nest_packs import CountOutput, Input, Output, RateOutput


class NestEngine:
    """Copies of one network, an instance each, that advance on NEST's one clock.

    A reset of all instances builds the network anew, so the same seeds give bitwise the same
    trajectory. A reset of some sets these copies' neurons to their initial status; spikes that
    are on their way, and what NEST does not let be set (refractoriness, synaptic currents of some
    models, plastic weights without a pack), stay. There are no snapshots, for the same reason.

    What numerically fails in NEST stops the whole kernel, so no instance fails alone.
    """

    def __init__(
        self,
        settings: BrainSettings,
        name: str,
        num_instances: int,
        kernel: Kernel,
        units: Units = NEST_UNITS,
    ) -> None:
        """Build one copy, to learn its populations; the first reset builds all.

        Raises:
            UserError: if the network or a pack is wrong.
            EngineError: if NEST cannot be reached.
        """
        self._kernel = kernel
        self._where = f"engines.{name}"
        self._timestep_s = float(settings.timestep / 10**9)
        try:
            self._settable: dict[str, tuple[str, ...]] = {}
            self._populations = kernel.build([0])[0]
            with self._user_errors():
                for population, ids in self._populations.items():
                    self._settable[population] = kernel.settable(kernel.nodes(ids[:1]))
                groups = {n: Group(kernel, i[None]) for n, i in self._populations.items()}
                self._inputs, self._outputs = bind(
                    settings, self._where, num_instances, kernel, groups, self._settable, units
                )
        except BaseException:
            kernel.close()
            raise
        self.spec = EngineSpec(
            name=name,
            timestep_ns=settings.timestep,
            num_instances=num_instances,
            inputs={pack: i.spec for pack, i in self._inputs.items()},
            outputs={pack: o.spec for pack, o in self._outputs.items()},
            can_snapshot=False,
            releases_gil=kernel.releases_gil,
        )
        self._packs: list[Input | Output] = [*self._inputs.values(), *self._outputs.values()]
        self._counter = StepCounter(settings.timestep, 1)
        self._groups: dict[str, Group] = {}
        self._clock = 0

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Build all copies anew, or set some of them to their initial status."""
        ids = as_indices(instances, self.spec.num_instances)
        with self._engine_errors():
            if len(ids) == self.spec.num_instances:
                in_order = np.argsort(ids)
                self._build([int(seeds[i]) for i in in_order])
            else:
                for group in self._groups.values():
                    group.restore(ids)
                    group.forget()
            for pack in self._packs:
                pack.reset(seeds, ids)

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Keep a pack's values for the next advance."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        self._require_network()
        self._inputs[pack].write(value, slice(None) if instances is None else instances)

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance all copies, on one clock.

        Raises:
            EngineError: if only some are to advance, or NEST fails.
        """
        self._require_network()
        if duration_ns and instances is not None and len(instances) != self.spec.num_instances:
            raise EngineError(f"{self._where}: all copies in a NEST kernel advance together.")
        count = self._counter.advance(duration_ns)[0].count if duration_ns else 0
        with self._engine_errors():
            for pack in self._inputs.values():
                pack.apply(count, self._clock)
            if count:
                self._kernel.simulate(count)
                self._clock += count
            if duration_ns:
                self._take_spikes(count)
        for group in self._groups.values():
            group.forget()

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...)."""
        check_pack(self.spec.outputs, pack, self.spec.name)
        self._require_network()
        with self._engine_errors():
            return self._outputs[pack].read()

    def faults(self) -> Sequence[Fault]:
        """Return none: what fails in NEST stops all copies, with an EngineError."""
        return ()

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Raise an EngineError: NEST does not give its state away."""
        raise EngineError(f"{self._where}: NEST has no snapshots.")

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Raise an EngineError: NEST does not take its state back."""
        raise EngineError(f"{self._where}: NEST has no snapshots.")

    def close(self) -> None:
        """Give the kernel back."""
        self._kernel.close()

    def _require_network(self) -> None:
        if not self._groups:
            self.reset(range(self.spec.num_instances))

    def _build(self, seeds: Sequence[int]) -> None:
        copies = self._kernel.build(seeds)
        for i, copy in enumerate(copies):
            self._check_copy(i, copy)
        self._groups = {
            name: Group(self._kernel, np.stack([copy[name] for copy in copies]))
            for name in self._populations
        }
        if len(copies) > 1:  # else each reset is one of all
            for name, group in self._groups.items():
                group.remember(self._settable[name])
        for pack in self._packs:
            pack.attach(self._kernel, self._groups)
        self._counter.reset()
        self._clock = 0

    def _check_copy(self, instance: int, copy: Populations) -> None:
        sizes = {name: len(ids) for name, ids in copy.items()}
        expected = {name: len(ids) for name, ids in self._populations.items()}
        if sizes != expected:
            raise EngineError(
                f"{self._where}.network: copy {instance} has populations {sizes}, another "
                f"{expected}; all must be alike."
            )

    def _take_spikes(self, num_steps: int) -> None:
        nobody = np.zeros(0, np.int64)
        for name, group in self._groups.items():
            if group.recorder is None:
                continue
            neurons, times_ms = group.take_spikes() if num_steps else (nobody, np.zeros(0))
            ages_s = self._clock * self._timestep_s - times_ms / 1000
            for output in self._outputs.values():
                if isinstance(output, CountOutput | RateOutput) and output.population == name:
                    output.update(num_steps * self._timestep_s, neurons, ages_s)

    @contextmanager
    def _engine_errors(self) -> Iterator[None]:
        try:
            yield
        except self._kernel.errors as error:
            raise EngineError(f"{self._where}: {error}") from error
        except UserError as error:  # the network was built before, so it isn't the input's fault
            raise EngineError(str(error)) from error

    @contextmanager
    def _user_errors(self) -> Iterator[None]:
        try:
            yield
        except self._kernel.errors as error:
            raise UserError(f"{self._where}: {error}") from error
