"""A function of the user's that is called with packs and whose results go to packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from troupe.core.errors import FunctionError, UserError
from troupe.core.time import NANOSECONDS
from troupe.core.user_code import user_traceback
from troupe.loop.functions import LoopFunction

Get = Callable[[], Any]
Put = Callable[[Any], None]


class BoundFunction:
    """A function with its arguments' sources and its results' targets.

    Attributes:
        function: of the user's.
        gets: one call for each argument.
        puts: one call for each result.
    """

    def __init__(self, function: LoopFunction, gets: Sequence[Get], puts: Sequence[Put]) -> None:
        """Bind a function."""
        self.function = function
        self.gets = tuple(gets)
        self.puts = tuple(puts)

    def run(self, now_ns: int) -> Any:
        """Call the function and pass its results on; return what it returned.

        Raises:
            FunctionError: if it raises, with the user's own lines and the simulated time, or its
                result does not fit where it goes.
            UserError: if the result does not fit already at the start.
        """
        try:
            result = self.function.call(*[get() for get in self.gets])
        except (Exception, SystemExit) as error:
            raise FunctionError(
                f"function '{self.function.name}' raised at {now_ns / NANOSECONDS['s']:g} s:\n"
                f"{user_traceback(error)}"
            ) from error
        if result is None or not self.puts:
            return result
        try:
            for put, value in zip(self.puts, self._values(result), strict=True):
                if value is not None:
                    put(value)
        except (UserError, ValueError) as error:
            message = f"function '{self.function.name}': its result: {error}"
            if now_ns:
                raise FunctionError(f"{message} (at {now_ns / NANOSECONDS['s']:g} s)") from error
            raise UserError(message) from error
        return result

    def is_true(self, result: Any) -> bool:
        """Return whether a status function's result ends the run.

        Raises:
            FunctionError: if it is no bool.
        """
        if result is None:
            return False
        if np.asarray(result).dtype != np.bool_:
            raise FunctionError(
                f"function '{self.function.name}' must return a bool, not {result!r}."
            )
        return bool(np.all(result))

    def _values(self, result: Any) -> Sequence[Any]:
        if len(self.puts) == 1:
            return (result,)
        if not isinstance(result, Sequence | np.ndarray) or len(result) != len(self.puts):
            raise ValueError(f"it must be a tuple of {len(self.puts)} results, not {result!r}")
        return list(result)
