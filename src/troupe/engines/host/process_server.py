"""The loop of an engine's own process."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.settings import validated
from troupe.engines.base import Engine, EngineSettings
from troupe.engines.host.areas import Areas, map_areas
from troupe.engines.host.channel import ADVANCE, Channel, Frame, PeerEnded
from troupe.engines.host.messages import Message, join
from troupe.engines.host.server import encode_error, handle, with_faults
from troupe.engines.host.specs import encode_spec


def serve(end: socket.socket, parent: int) -> None:
    """Build the engine that the first message describes, and do what the others say."""
    channel = Channel(end, is_alive=lambda: os.getppid() == parent)
    engine = None
    name = ""
    try:
        start = channel.receive().message
        name = start.header["name"]
        try:
            engine = _build(start.header)
            channel.send(encode_spec(engine.spec))
            _Server(engine, _map_areas(engine, channel), channel).run()
        except Exception as error:
            if isinstance(error, PeerEnded):
                raise
            channel.send(encode_error(error, name))
    except PeerEnded:
        pass
    finally:
        if engine is not None:
            engine.close()


def _build(start: Mapping[str, Any]) -> Engine:
    module, _, qualified_name = start["class"].partition(":")
    cls: type[EngineSettings] = attrgetter(qualified_name)(importlib.import_module(module))
    settings = validated(cls, start["settings"], where=f"engines.{start['name']}")
    return settings.build(start["name"], start["num_instances"], start["num_threads"])


def _map_areas(engine: Engine, channel: Channel) -> Areas:
    descriptor = channel.receive_descriptor()
    try:
        return map_areas(engine.spec, descriptor)
    finally:
        os.close(descriptor)


class _Server:
    def __init__(self, engine: Engine, areas: Areas, channel: Channel) -> None:
        self._engine = engine
        self._inputs = areas.inputs
        self._outputs = areas.outputs
        self._channel = channel
        self._shown = 0
        self._objects = [p for p, s in engine.spec.outputs.items() if s.dtype.hasobject]

    def run(self) -> None:
        """Answer frames until one says to close."""
        self._publish(Message({}))
        while True:
            frame = self._channel.receive()
            if frame.message.header.get("call") == "close":
                return
            try:
                self._publish(self._apply(frame))
            except PeerEnded:
                raise
            except Exception as error:
                self._channel.send(encode_error(error, self._engine.spec.name))

    def _apply(self, frame: Frame) -> Message:
        engine = self._engine
        self._inputs[frame.area].apply(engine, frame.num_writes)
        if frame.kind == ADVANCE:
            engine.advance(frame.duration_ns)
            return with_faults(engine, Message({}))
        return handle(engine, frame.message)

    def _publish(self, reply: Message) -> None:
        """Put the packs where they are not read from, and say so."""
        self._shown = 1 - self._shown
        for pack, values in self._outputs[self._shown].items():
            np.copyto(values, self._engine.read(pack))
        if self._objects:
            objects: dict[str, npt.NDArray[Any]] = {
                pack: self._engine.read(pack) for pack in self._objects
            }
            reply = Message(reply.header, {**reply.arrays, **join("output", objects)})
        self._channel.send(reply, self._shown)
