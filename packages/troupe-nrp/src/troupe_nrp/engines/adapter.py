"""An engine of Troupe made of something that has JSON packs by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import EngineError, TroupeError, UserError, unknown
from troupe.core.time import format_duration
from troupe.core.user_code import user_traceback
from troupe.engines.base import EngineSpec, Fault, check_pack

JSON_PACK = ArraySpec((), dtype=np.dtype(object))


class Part(Protocol):
    """What a type of engine has to do; values are those that travel (`troupe_nrp.travel`)."""

    def initialize(self) -> Iterable[str]:
        """Prepare, and return the names of the packs."""

    def run(self, duration_ns: int) -> None:
        """Advance simulated time."""

    def reset(self) -> None:
        """Return to the state after `initialize`."""

    def shutdown(self) -> None:
        """Release what it holds."""

    def get(self, name: str) -> Any:
        """Return a pack's value, None if it is empty."""

    def set(self, name: str, value: Any) -> None:
        """Take a pack's value."""


class PartEngine:
    """Advances one instance of a `Part`.

    Every pack can be written. Those that can be read are all, or those that are requested: a
    pack of a brain is expensive to gather.
    """

    def __init__(
        self,
        name: str,
        part: Part,
        num_instances: int,
        requested: Sequence[str] | None,
        timestep_ns: Fraction = Fraction(1),
        *,
        releases_gil: bool = False,
    ) -> None:
        """Initialise the part.

        Args:
            name: of the engine.
            part: that is advanced.
            num_instances: must be 1.
            requested: packs to offer for reading; None for all.
            timestep_ns: of the part's own steps; by default it takes any duration.
            releases_gil: whether it leaves Python to other threads while it advances.

        Raises:
            UserError: if the part has no such pack, or cannot be initialised.
        """
        if num_instances != 1:
            raise UserError(
                f"engines.{name}: an engine of NRP-core's has one instance, not {num_instances}."
            )
        self._name, self._part = name, part
        self._now_ns = 0
        self._is_fresh = True
        self._is_open = True
        try:
            packs = list(dict.fromkeys(part.initialize()))
        except TroupeError:
            raise
        except BaseException as error:
            self._fail("cannot be initialised", error, UserError)
        for pack in requested or ():
            if pack not in packs:
                raise unknown("datapack", pack, packs, f"engines.{name}")
        self.spec = EngineSpec(
            name=name,
            timestep_ns=timestep_ns,
            num_instances=1,
            inputs=dict.fromkeys(packs, JSON_PACK),
            outputs=dict.fromkeys(packs if requested is None else requested, JSON_PACK),
            can_snapshot=False,
            releases_gil=releases_gil,
        )

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return to the state after the start; without an advance before, do nothing."""
        if not self._is_fresh:
            self._call("cannot be reset", self._part.reset)
        self._now_ns, self._is_fresh = 0, True

    def write(self, pack: str, value: Any, instances: Ids | None = None) -> None:
        """Give the part a value."""
        check_pack(self.spec.inputs, pack, self._name)
        given = value.reshape(-1)[0] if isinstance(value, np.ndarray) else value
        self._is_fresh = False
        self._call(f"cannot take '{pack}'", self._part.set, pack, given)

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Advance the part; by 0, do nothing."""
        if duration_ns == 0:
            return
        self._is_fresh = False
        self._now_ns += duration_ns
        self._call("failed", self._part.run, duration_ns)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return the part's value of a pack, (1,)."""
        check_pack(self.spec.outputs, pack, self._name)
        values = np.empty(1, object)
        values[0] = self._call(f"cannot give '{pack}'", self._part.get, pack)
        return values

    def faults(self) -> Sequence[Fault]:
        """Return none: a failure ends the run."""
        return ()

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        raise EngineError(f"{self._name}: an engine of NRP-core's has no snapshots.")

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        raise EngineError(f"{self._name}: an engine of NRP-core's has no snapshots.")

    def close(self) -> None:
        """Shut the part down."""
        if self._is_open:
            self._is_open = False
            self._call("cannot be shut down", self._part.shutdown)

    def _call(self, what: str, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (TroupeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(what, error, EngineError)

    def _fail(self, what: str, error: BaseException, kind: type[TroupeError]) -> NoReturn:
        if isinstance(error, KeyboardInterrupt):
            raise error
        time = f" at {format_duration(self._now_ns)}" if self._now_ns else ""
        place = f"engine '{self._name}' {what}{time}"
        if isinstance(error, SystemExit):
            raise kind(f"{place}: it exited with status {error.code}.") from error
        raise kind(f"{place}:\n{traceback_of(error)}") from error


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback without the lines of this package."""
    own = f'  File "{os.path.dirname(os.path.dirname(__file__))}'  # noqa: PTH120 - as in the text
    lines, keep = [], True
    for line in user_traceback(error).splitlines():
        if line.startswith("  File "):
            keep = not line.startswith(own)
        elif not line.startswith("    "):
            keep = True
        if keep:
            lines.append(line)
    return "\n".join(lines)
