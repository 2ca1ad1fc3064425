"""A script's state as plain arrays: JSON values as bytes, generators as integers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Generator


def encoded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of values; of JSON values, their text as UTF-8, padded, (num_instances, ...).

    So a snapshot can be stored without pickle.
    """
    if values.dtype.kind != "O":
        return values.copy()
    texts = [json.dumps(value).encode() for value in values]
    length = max(len(text) for text in texts)
    return np.stack([np.frombuffer(text.ljust(length), np.uint8) for text in texts])


def decoded(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """Return what `encoded` was given."""
    if dtype.kind != "O":
        return values
    return [json.loads(row.tobytes()) for row in values]


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
