"""What a user's own engine in Python is made of: `Script` and `pack`.

::

    from troupe.engines.script import Script, pack


    class Controller(Script):
        inputs = {"angle": pack(2, unit="rad")}
        outputs = {"torque": pack(2, unit="N m", low=-5, high=5)}

        def step(self, duration_ns):
            self.torque[:] = -self.angle
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.seeding import Generator


@dataclass(frozen=True, eq=False)
class Pack:
    """A datapack of a script.

    Attributes:
        spec: of one instance's value.
        initial: that value after a reset.
    """

    spec: ArraySpec
    initial: Any


def pack(
    shape: int | tuple[int, ...] | type[object] = (),
    *,
    unit: str = "",
    low: npt.ArrayLike = -np.inf,
    high: npt.ArrayLike = np.inf,
    dtype: npt.DTypeLike = np.float64,
    names: Sequence[str] = (),
    categories: int = 0,
    initial: Any = None,
) -> Pack:
    """Describe a datapack.

    Args:
        shape: of one instance's value: a number of components, a tuple, nothing for one number,
            or ``object`` for a JSON value (dict, list, text, number, None).
        unit: of the values, e.g. "rad".
        low: the least valid values.
        high: the greatest valid values.
        dtype: of the values.
        names: of the components.
        categories: of a discrete value, 0 .. categories - 1.
        initial: value of each instance after a reset; default: zeros, or None for JSON.

    Raises:
        ValueError: if bounds or initial value do not fit the shape.
    """
    if shape is object:
        return Pack(ArraySpec((), unit, dtype=np.dtype(object)), initial)
    if isinstance(shape, type):
        raise TypeError(f"a shape is a number, a tuple or object, not {shape.__name__}")
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    bounds = np.asarray(low, np.float64), np.asarray(high, np.float64)
    kind = np.dtype(np.int64) if categories else np.dtype(dtype)
    spec = ArraySpec(size, unit, *bounds, kind, tuple(names), categories)
    value = np.broadcast_to(np.asarray(0 if initial is None else initial, kind), size)
    return Pack(spec, value)


class Script:
    """An engine that a user writes in Python; it steps all its instances at once.

    Each pack is an attribute, an array of (num_instances, ...): inputs hold what was written last,
    outputs are read after the step. To assign to the attribute copies into the array. A pack named
    in both, as the same `Pack`, can be written and read.

    Attributes:
        inputs: packs that can be written, by name; set by the class or in `setup`.
        outputs: packs that can be read, by name; set by the class or in `setup`.
        state: names of the attributes, arrays of (num_instances, ...) made in `setup`, that with
            the packs and generators are all that one step leaves to the next. Who names them
            (if there are none, as ``()``) gets exact snapshots. A reset returns them to their
            values after `setup`; to assign to them copies too.
        num_instances: how many worlds there are.
        parameters: what the user wrote in the engine's settings.
        rng: a generator for each instance, made anew from its seed at each reset.
        time_ns: simulated time of each instance since its reset, at the begin of a step.
    """

    inputs: Mapping[str, Pack] = {}
    outputs: Mapping[str, Pack] = {}
    state: ClassVar[Sequence[str] | None] = None
    num_instances: int
    parameters: Mapping[str, Any]
    rng: list[Generator]
    time_ns: npt.NDArray[np.int64]

    # replaced by the engine; class attributes, since users' __init__ may call none of ours
    _arrays: Mapping[str, npt.NDArray[Any]] = {}
    _failures: dict[int, str]

    def setup(self, **parameters: Any) -> None:
        """Prepare, once, from the parameters; `num_instances` is known."""

    def reset(self, instances: Ids, rng: Sequence[Generator]) -> None:
        """Begin anew in instances, which packs and `state` have done; ``rng`` has one each."""

    def step(self, duration_ns: int) -> None:
        """Advance all instances by a duration: read the inputs, set the outputs."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what `setup` opened."""

    def fail(self, instance: int, reason: str) -> None:
        """Report that an instance cannot go on; it is reset after this step, the others go on."""
        if not 0 <= instance < self.num_instances:
            raise IndexError(f"there is no instance {instance}, only {self.num_instances}")
        self._failures.setdefault(int(instance), reason)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; of a pack or of the state, the values of its array."""
        array = self._arrays.get(name)
        if array is None:
            object.__setattr__(self, name, value)
        elif value is not array:  # as it is after "self.torque += 1"
            assign(array, value)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a pack."""


def assign(array: npt.NDArray[Any], value: Any, rows: Any = ...) -> None:
    """Copy values into rows of an array that leads with the instances.

    Of JSON, a list, tuple or array holds one value for each instance; anything else is the value
    of each.

    Raises:
        ValueError: if the values' shape does not fit.
        TypeError: if they are no numbers, for an array of numbers.
    """
    if array.dtype != object:
        array[rows] = value
        return
    target = array[rows]
    if isinstance(value, np.ndarray):
        value = value.tolist()  # of an array without axes, its value
    if not isinstance(value, list | tuple):
        value = [value] * len(target)
    if len(value) != len(target):
        raise ValueError(f"{len(value)} values for {len(target)} instances")
    for i, one in enumerate(value):
        target[i] = one
    array[rows] = target
