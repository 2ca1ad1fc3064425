"""Datapacks as users' functions see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from troupe_nrp.json_data import NlohmannJson
from troupe_nrp.travel import from_travel, is_message, to_travel


@dataclass(frozen=True)
class DataPackIdentifier:
    """Names a datapack.

    Attributes:
        name: of the pack.
        engine_name: of its engine.
        type: of its values; not needed.
    """

    name: str
    engine_name: str
    type: str = ""


class RawData:
    """Values without a name, as a status function returns them for the client."""

    def __init__(self) -> None:
        """Begin with empty data."""
        self._data: Any = self._new_data()

    @property
    def data(self) -> Any:
        """The values.

        Raises:
            ValueError: if the pack is empty.
        """
        if self._data is None:
            raise ValueError(f"{self!r} is empty: ask isEmpty() first")
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = self._accept(value)

    def travelling(self) -> Any:
        """Return a copy of the values as they travel between engines; None if it is empty."""
        return None if self._data is None else to_travel(self._data)

    def _new_data(self) -> Any:
        raise NotImplementedError

    def _accept(self, value: Any) -> Any:
        return value


class DataPack(RawData):
    """Values of an engine, or for one.

    Attributes:
        name: of the pack.
        engine_name: the engine that it comes from, or goes to.
    """

    def __init__(self, name: str, engine_name: str) -> None:
        """Make a pack with empty data."""
        super().__init__()
        self.name, self.engine_name = name, engine_name
        self._is_updated = True

    @property
    def type(self) -> str:
        """The name of the values' type."""
        return type(self).__name__

    @property
    def id(self) -> DataPackIdentifier:
        """Name and engine of the pack."""
        return DataPackIdentifier(self.name, self.engine_name, self.type)

    def isEmpty(self) -> bool:  # noqa: N802 - NRP-core's name
        """Return whether the pack carries no values."""
        return self._data is None

    def isUpdated(self) -> bool:  # noqa: N802 - NRP-core's name
        """Return whether the values are of this synchronisation, not of one before it."""
        return self._is_updated

    def __repr__(self) -> str:
        """Return type, name and engine."""
        return f"{type(self).__name__}('{self.name}', '{self.engine_name}')"


class JsonRawData(RawData):
    """JSON for the client."""

    def _new_data(self) -> Any:
        return NlohmannJson()

    def _accept(self, value: Any) -> Any:
        return NlohmannJson(value)


class JsonDataPack(DataPack):
    """A datapack of JSON."""

    def _new_data(self) -> Any:
        return NlohmannJson()

    def _accept(self, value: Any) -> Any:
        return NlohmannJson(value)


class MessageRawData(RawData):
    """A protobuf message for the client; subclasses name its class."""

    message: ClassVar[Any]

    def _new_data(self) -> Any:
        return self.message()


class MessageDataPack(DataPack):
    """A datapack of one protobuf message; subclasses name its class."""

    message: ClassVar[Any]

    def _new_data(self) -> Any:
        return self.message()


def received(name: str, engine_name: str, travelled: Any, *, is_updated: bool) -> DataPack:
    """Return the pack of a value that travelled; None makes an empty pack."""
    if is_message(travelled):
        data = from_travel(travelled)
        pack: DataPack = MessageDataPack.__new__(message_pack_class(type(data)))
    else:
        data = None if travelled is None else NlohmannJson(travelled)
        pack = JsonDataPack.__new__(JsonDataPack)
    pack.name, pack.engine_name = name, engine_name
    pack._data, pack._is_updated = data, is_updated
    return pack


_pack_classes: dict[Any, type[MessageDataPack]] = {}


def message_pack_class(message: Any) -> type[MessageDataPack]:
    """Return the class of datapacks of a message class."""
    if message not in _pack_classes:
        name = "".join(
            part[:1].upper() + part[1:] for part in message.DESCRIPTOR.full_name.split(".")
        )
        _pack_classes[message] = type(f"{name}DataPack", (MessageDataPack,), {"message": message})
    return _pack_classes[message]
