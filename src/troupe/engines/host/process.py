"""The link to an engine in a process of its own on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import EngineError, UserError
from troupe.core.time import NANOSECONDS, format_duration
from troupe.engines.base import EngineSettings
from troupe.engines.host.areas import Areas, map_areas, shared_file
from troupe.engines.host.channel import Channel, Frame, PeerEnded
from troupe.engines.host.launch import CLOSE_S, EngineProcess
from troupe.engines.host.messages import Message, split
from troupe.engines.host.server import decode_error
from troupe.engines.host.specs import decode_spec
from troupe.engines.host.writes import WriteLog

_START_NS = 60 * NANOSECONDS["s"]
_ENDING_S = 2.0
_PASS_ON_EVERY = 1000


class ProcessLink:
    """Packs cross shared memory, everything else a socket.

    Values are written into shared memory where one write a pack says it all; what else there is
    (JSON, packs written in turns) goes with the message.
    """

    def __init__(
        self, settings: EngineSettings, name: str, num_instances: int, num_threads: int
    ) -> None:
        """Start the process and wait for its engine.

        Raises:
            UserError: if the settings are wrong.
            EngineError: if the engine cannot be built.
        """
        start = {
            "class": _import_path(settings, name),
            "settings": settings.model_dump(mode="json"),
            "name": name,
            "num_instances": num_instances,
            "num_threads": num_threads,
        }
        self._name = name
        self._timeout_ns = settings.timeout
        self._is_open = True
        self._num_received = 0
        self._process = EngineProcess()
        self._channel = Channel(self._process.end, self._process.is_alive)
        try:
            deadline_ns = self._deadline_ns(at_least_ns=_START_NS)
            self._channel.send(Message(start))
            self.spec = decode_spec(self._receive(deadline_ns).message)
            self._areas = self._share_memory()
            self._writes = WriteLog(name, num_instances)
            self._pending: dict[str, Ids | None] = {}
            self._area = 0
            self.outputs: Mapping[str, npt.NDArray[Any]] = {}
            self._deadline = self._deadline_ns(at_least_ns=_START_NS)
            self.receive()
        except PeerEnded:
            self._fail_ended()
        except BaseException:
            self._stop(0.0)
            raise

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None) -> None:
        """Put values into the area that the engine does not use, or into the next message."""
        spec = self.spec.inputs[pack]
        if self._writes or spec.dtype.hasobject or not self._fits(pack, instances):
            self._writes.add(pack, spec, value, instances)
            return
        values = self._areas.inputs[self._area].values[pack]
        try:
            values[slice(None) if instances is None else instances] = value
        except (IndexError, TypeError, ValueError) as error:
            raise UserError(f"{self._name}.{pack}: {error}.") from error
        self._make_pending(pack, instances)

    def send(self, message: Message) -> None:
        """Begin a call of the engine; an advance of all instances takes the short way."""
        self._check_open()
        area, num_writes = self._area, len(self._pending)
        if num_writes:
            self._areas.inputs[area].post(self._pending)
            self._pending.clear()
        self._area = 1 - area
        self._deadline = self._deadline_ns()
        header = message.header
        try:
            if header["call"] == "advance" and "instances" not in header and not self._writes:
                self._channel.send_advance(header["duration_ns"], area, num_writes)
            else:
                message = self._writes.take(message)
                self._channel.send(message, area, num_writes, self._deadline)
        except PeerEnded:
            self._fail_ended()
        except TimeoutError:
            self._fail_hung()

    def poll(self) -> bool:
        """Return whether the call ended, its time is over, or the process is gone."""
        is_over = self._deadline is not None and time.monotonic_ns() >= self._deadline
        return is_over or self._channel.has_news()

    def receive(self) -> Message:
        """Wait for the end of a call; the packs are then those after it."""
        self._check_open()
        frame = self._receive(self._deadline)
        objects = split("output", frame.message.arrays)
        outputs = self._areas.outputs[frame.area]
        self.outputs = {**outputs, **objects} if objects else outputs
        self._num_received += 1
        if self._num_received % _PASS_ON_EVERY == 0:
            self._process.pass_output_on()
        return frame.message

    def close(self) -> None:
        """End the engine's processes."""
        if not self._is_open:
            return
        try:
            self._channel.send(Message({"call": "close"}), deadline_ns=time.monotonic_ns())
        except (PeerEnded, TimeoutError):
            self._stop(0.0)
        else:
            self._stop(CLOSE_S)

    def kill(self) -> None:
        """End the engine's processes at once."""
        self._process.kill()

    def _fits(self, pack: str, instances: Ids | None) -> bool:
        """Return whether the area can hold a write, in order with those before it."""
        pending = self._pending
        return instances is None or pack not in pending or pack == next(reversed(pending))

    def _make_pending(self, pack: str, instances: Ids | None) -> None:
        pending = self._pending
        if instances is None:
            pending.pop(pack, None)
            pending[pack] = None
        elif pack not in pending:
            pending[pack] = np.unique(instances)
        else:
            before = pending[pack]
            pending[pack] = None if before is None else np.union1d(before, instances)

    def _receive(self, deadline_ns: int | None) -> Frame:
        try:
            frame = self._channel.receive(deadline_ns)
        except PeerEnded:
            self._fail_ended()
        except TimeoutError:
            self._fail_hung()
        error = decode_error(frame.message)
        if error is not None:
            self.close()
            raise error
        return frame

    def _share_memory(self) -> Areas:
        descriptor = shared_file(Areas(self.spec).num_bytes)
        try:
            self._channel.send_descriptor(descriptor)
            return map_areas(self.spec, descriptor)
        finally:
            os.close(descriptor)

    def _deadline_ns(self, at_least_ns: int = 0) -> int | None:
        if self._timeout_ns is None:
            return None
        return time.monotonic_ns() + max(self._timeout_ns, at_least_ns)

    def _check_open(self) -> None:
        if not self._is_open:
            raise EngineError(f"engine '{self._name}' is closed.")

    def _fail_ended(self) -> NoReturn:
        self._process.has_ended(_ENDING_S)
        self._fail(self._process.how_it_ended())

    def _fail_hung(self) -> NoReturn:
        assert self._timeout_ns is not None
        self._process.kill()
        self._fail(f"did not answer within {format_duration(self._timeout_ns)} and was ended")

    def _fail(self, how: str) -> NoReturn:
        printed = self._process.last_output()
        self._stop(0.0)
        last = f" The last it printed:\n{printed}" if printed else " It printed nothing."
        raise EngineError(f"engine '{self._name}' {how}.{last}")

    def _stop(self, grace_s: float) -> None:
        self._is_open = False
        self._process.stop(grace_s)
        self._channel.close()


def _import_path(settings: EngineSettings, name: str) -> str:
    cls = type(settings)
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        raise UserError(
            f"engines.{name}.host: '{cls.__qualname__}' is not defined in a module, where another "
            "process could import it."
        )
    return f"{cls.__module__}:{cls.__qualname__}"
