"""Generators of randomness as plain arrays of integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Generator


def generator_states(generators: Sequence[Generator]) -> npt.NDArray[np.uint64]:
    """Return the states of Philox generators, (num_instances, 13)."""
    return np.array([_words(generator) for generator in generators], np.uint64)


def set_generator_state(generator: Generator, words: npt.NDArray[np.uint64]) -> None:
    """Return a Philox generator to a state."""
    generator.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": words[:4].copy(), "key": words[4:6].copy()},
        "buffer": words[6:10].copy(),
        "buffer_pos": int(words[10]),
        "has_uint32": int(words[11]),
        "uinteger": int(words[12]),
    }


def _words(generator: Generator) -> list[int]:
    state: Any = generator.bit_generator.state
    numbers = [state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    return [*state["state"]["counter"], *state["state"]["key"], *state["buffer"], *numbers]
