"""Writes the datapacks that it is given to files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from google.protobuf import json_format
from troupe.core.errors import UserError

from troupe_nrp.engines.settings import DataTransferSettings
from troupe_nrp.travel import from_travel, is_message


class DataTransferPart:
    """Appends each datapack, whenever it is given it, to ``<directory>/<time>/<name>.data``."""

    def __init__(self, settings: DataTransferSettings, name: str) -> None:
        """Note what goes where.

        Raises:
            UserError: if a pack is to be published over MQTT.
        """
        if settings.streams:
            raise UserError(
                f"engines.{name}.dumps: '{settings.streams[0]}' is to be sent to the network: "
                "this engine writes files only: set file to true, or publish from a graph with "
                "@MQTTPublisher."
            )
        self._settings = settings
        self._files: dict[str, IO[str]] = {}

    def initialize(self) -> Iterable[str]:
        settings = self._settings
        if settings.files:
            time = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
            directory = Path(settings.directory) / time
            directory.mkdir(parents=True)
            for name in settings.files:
                self._files[name] = (directory / f"{name}.data").open("w", encoding="utf-8")
        return [*settings.files, *settings.unused]

    def run(self, duration_ns: int) -> None:
        """Do nothing: what was given is written already."""

    def reset(self) -> None:
        """Begin new files."""
        self.shutdown()
        self.initialize()

    def shutdown(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def get(self, name: str) -> Any:
        return None

    def set(self, name: str, value: Any) -> None:
        if name in self._files:
            for line in _lines(value):
                self._files[name].write(f"{line}\n")


def _lines(value: Any) -> list[str]:
    if not is_message(value):
        return [json.dumps(value)]
    message = from_travel(value)
    kind = message.DESCRIPTOR.full_name
    if kind == "Dump.String":
        return [message.string_stream]
    if kind == "Dump.ArrayFloat":
        return _rows([f"{number:g}" for number in message.float_stream], list(message.dims))
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return [json.dumps(fields)]


def _rows(numbers: list[str], dims: list[int]) -> list[str]:
    """Return a line for each row of a matrix, one line for any other array."""
    if len(dims) != 2:
        return [",".join(numbers)]
    rows, columns = dims
    padded = numbers + [""] * (rows * columns - len(numbers))
    return [",".join(padded[i * columns : (i + 1) * columns]) for i in range(rows)]
