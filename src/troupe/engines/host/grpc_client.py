"""The link to an engine on another machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import grpc
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import EngineError, UserError
from troupe.core.time import NANOSECONDS, format_duration
from troupe.engines.base import EngineSettings
from troupe.engines.host.grpc_security import Reply, open_channel, receive
from troupe.engines.host.grpc_wire import CHANNEL_OPTIONS, METHOD, PROTOCOL
from troupe.engines.host.launch import CLOSE_S
from troupe.engines.host.messages import Message, from_bytes, split, to_bytes
from troupe.engines.host.security import ENGINES, read_token
from troupe.engines.host.server import decode_error
from troupe.engines.host.specs import decode_spec
from troupe.engines.host.writes import WriteLog

# the server has the same timeout and says more about what happened
_GRACE_S = 5.0
_START_S = 60.0


class GrpcLink:
    """One stream to a `troupe engine-server`, which keeps the engine as long as the stream."""

    def __init__(
        self, settings: EngineSettings, name: str, num_instances: int, num_threads: int
    ) -> None:
        """Open the stream and wait for the engine.

        Raises:
            UserError: if the settings are wrong there, or the token is.
            EngineError: if the machine cannot be reached, or the engine not be built.
        """
        self._name = name
        self._address = settings.host
        self._timeout_ns = settings.timeout
        self._is_open = True
        self._writes = WriteLog(name, num_instances)
        self.outputs: Mapping[str, npt.NDArray[Any]] = {}
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        address = urlsplit(settings.host)
        self._channel = open_channel(ENGINES, address.scheme, address.netloc, CHANNEL_OPTIONS)
        self._call = self._channel.stream_stream(METHOD)(
            iter(self._requests.get, None), metadata=_metadata()
        )
        reader = threading.Thread(target=receive, args=(self._call, self._replies), daemon=True)
        reader.start()
        start = {
            "protocol": PROTOCOL,
            "type": settings.type,
            "settings": settings.model_dump(mode="json", exclude={"host"}),
            "name": name,
            "num_instances": num_instances,
            "num_threads": num_threads,
        }
        try:
            self._requests.put(to_bytes(Message(start)))
            self.spec = decode_spec(self._receive(at_least_s=_START_S))
        except BaseException:
            self._stop()
            raise

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None) -> None:
        """Keep a value for the next message."""
        self._writes.add(pack, self.spec.inputs[pack], value, instances)

    def send(self, message: Message) -> None:
        """Begin a call of the engine."""
        self._check_open()
        self._requests.put(to_bytes(self._writes.take(message)))

    def poll(self) -> bool:
        """Return whether an answer is there, or the connection is lost."""
        return not self._replies.empty()

    def receive(self) -> Message:
        """Wait for the end of a call; the packs are then those after it."""
        self._check_open()
        return self._receive()

    def close(self) -> None:
        """End the stream, and with it the engine."""
        if not self._is_open:
            return
        self._requests.put(None)
        try:
            while isinstance(self._replies.get(timeout=2 * CLOSE_S), bytes):
                pass
        except queue.Empty:
            pass
        self._stop()

    def kill(self) -> None:
        """End the stream at once."""
        self._call.cancel()

    def _receive(self, at_least_s: float = 0.0) -> Message:
        timeout_s = None
        if self._timeout_ns is not None:
            timeout_s = max(self._timeout_ns / NANOSECONDS["s"] + _GRACE_S, at_least_s)
        try:
            data = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            self._fail_silent()
        if not isinstance(data, bytes):
            self._fail_lost(data)
        message = from_bytes(data)
        error = decode_error(message)
        if error is not None:
            self.close()
            raise type(error)(f"{error} (on {self._address})")
        self.outputs = split("output", message.arrays)
        return message

    def _check_open(self) -> None:
        if not self._is_open:
            raise EngineError(f"engine '{self._name}' on {self._address} is closed.")

    def _fail_silent(self) -> NoReturn:
        self._stop()
        assert self._timeout_ns is not None
        within = format_duration(self._timeout_ns)
        raise EngineError(
            f"engine '{self._name}' on {self._address} did not answer within {within}."
        )

    def _fail_lost(self, error: grpc.RpcError | None) -> NoReturn:
        self._stop()
        place = f"engine '{self._name}' on {self._address}"
        if error is None:
            raise EngineError(f"{place}: the server ended the connection.")
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise UserError(
                f"engines.{self._name}.host: {self._address} refuses the token: "
                f"{error.details()}. Set {ENGINES.token} to that of the server."
            )
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise UserError(
                f"engines.{self._name}.host: {self._address} is no troupe engine-server."
            )
        raise EngineError(f"{place}: the connection is lost: {error.details()}.")

    def _stop(self) -> None:
        self._is_open = False
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()


def _metadata() -> tuple[tuple[str, str], ...]:
    token = read_token(ENGINES)
    return () if token is None else (("authorization", f"Bearer {token}"),)
