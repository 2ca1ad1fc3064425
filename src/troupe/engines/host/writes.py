"""What was written to an engine elsewhere since its last message, in order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import UserError
from troupe.core.json_values import object_array, to_json
from troupe.engines.base import Engine
from troupe.engines.host.messages import Message, ids_from_json, ids_to_json


class WriteLog:
    """Collects writes and puts them into a message."""

    def __init__(self, engine: str, num_instances: int) -> None:
        """Begin empty."""
        self._engine = engine
        self._num_instances = num_instances
        self._writes: list[tuple[dict[str, Any], npt.NDArray[Any] | None]] = []

    def __bool__(self) -> bool:
        """Return whether anything was written."""
        return bool(self._writes)

    def add(self, pack: str, spec: ArraySpec, value: npt.ArrayLike, instances: Ids | None) -> None:
        """Append a write; one to all instances replaces those before it to the same pack.

        Raises:
            UserError: if the value does not fit the pack.
        """
        header: dict[str, Any] = {"pack": pack, "instances": ids_to_json(instances)}
        array = None
        try:
            if spec.dtype.hasobject:
                header["value"] = json.loads(to_json(value))
                header["is_array"] = isinstance(value, np.ndarray)
            else:
                array = np.array(value, spec.dtype)
                num_rows = self._num_instances if instances is None else len(instances)
                np.broadcast_to(array, (num_rows, *spec.shape))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self._engine}.{pack}: {error}.") from error
        if instances is None:
            self._writes = [w for w in self._writes if w[0]["pack"] != pack]
        self._writes.append((header, array))

    def take(self, message: Message) -> Message:
        """Return a message with the writes before it, and forget them."""
        if not self._writes:
            return message
        writes, self._writes = self._writes, []
        values = {f"write/{i}": array for i, (_, array) in enumerate(writes) if array is not None}
        header = {**message.header, "writes": [header for header, _ in writes]}
        return Message(header, {**message.arrays, **values})


def apply_writes(engine: Engine, message: Message) -> None:
    """Write to an engine what comes with a message."""
    for i, write in enumerate(message.header.get("writes", ())):
        instances = ids_from_json(write["instances"])
        if "value" not in write:
            engine.write(write["pack"], message.arrays[f"write/{i}"], instances)
        elif write["is_array"] and isinstance(write["value"], list):
            engine.write(write["pack"], object_array(write["value"]), instances)
        else:
            engine.write(write["pack"], write["value"], instances)
