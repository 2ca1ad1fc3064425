"""The link to a fleet that ``troupe serve`` runs elsewhere."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import EngineError, TroupeError, UserError
from troupe.engines.host.grpc_security import Reply, open_channel, receive
from troupe.engines.host.messages import Message, from_bytes, to_bytes
from troupe.engines.host.security import FLEETS, read_token
from troupe.engines.host.server import decode_error
from troupe.fleet.serving.batch import decode_batch
from troupe.fleet.serving.group import Seed
from troupe.fleet.serving.local import Arrival
from troupe.fleet.serving.spec import decode_fleet_spec
from troupe.fleet.serving.wire import CHANNEL_OPTIONS, METHOD, PROTOCOL

_START_S = 120.0
_AGAIN_WITHIN_S = 5.0
_TRY_EVERY_S = 0.2
_CLOSE_S = 5.0

_REFUSALS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class _Stream:
    """One connection."""

    def __init__(self, channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self.requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._call = channel.stream_stream(METHOD)(iter(self.requests.get, None), metadata=metadata)
        threading.Thread(target=receive, args=(self._call, self.replies), daemon=True).start()

    def end(self) -> None:
        """End it at once."""
        self.requests.put(None)
        self._call.cancel()


class RemoteLink:
    """A fleet elsewhere, over one connection at a time.

    If the connection is lost, `receive` makes another one and both sides go on where they were.
    """

    def __init__(self, url: str, token: str | None, seed: int | None) -> None:
        """Connect, and wait for the fleet to start.

        Args:
            url: ``grpc://host:port``, or ``grpcs://`` with TLS.
            token: of the server; None for the environment's.
            seed: the root seed, None for the server's.

        Raises:
            UserError: if the address is none of a server, or the token is not the server's.
            EngineError: if the server cannot be reached, or has too many clients.
        """
        self._url = url
        address = urlsplit(url)
        self._channel = open_channel(FLEETS, address.scheme, address.netloc, CHANNEL_OPTIONS)
        token = token or read_token(FLEETS)
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._seed = seed
        self._session: str | None = None
        self._numbered = self._received = 0
        self._unapplied: deque[tuple[int, bytes]] = deque()
        self._keep_s = 0.0
        self._lost_at_s: float | None = None
        self._is_open = True
        try:
            hello = self._open(_START_S)
        except BaseException:
            self._channel.close()
            raise
        self.spec = decode_fleet_spec(hello)

    def reset(self, seed: Seed, generation: int) -> None:
        """Begin episodes in all instances."""
        self._command({"call": "reset", "seed": seed, "generation": generation}, {})

    def send(self, actions: npt.NDArray[Any], ids: Ids) -> None:
        """Give instances actions."""
        self._command({"call": "send"}, {"actions": actions, "ids": ids})

    def receive(self, timeout_s: float | None) -> list[Arrival]:
        """Return the next results; after a lost connection, those after the last ones received.

        Raises:
            EngineError: if the connection cannot be made again.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        arrivals: list[Arrival] = []
        while not arrivals:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if self._lost_at_s is not None and not self._again(left_s):
                if left_s == 0.0:
                    break
                continue
            try:
                reply = self._stream.replies.get(timeout=left_s)
                while True:
                    arrivals += self._results(reply)
                    reply = self._stream.replies.get_nowait()
            except queue.Empty:
                if left_s == 0.0:
                    break
        return arrivals

    def close(self) -> None:
        """End the fleet and the connection."""
        if not self._is_open:
            return
        self._is_open = False
        if self._lost_at_s is None:
            self._stream.requests.put(to_bytes(Message({"call": "close"})))
            with suppress(queue.Empty):
                while isinstance(self._stream.replies.get(timeout=_CLOSE_S), bytes):
                    pass
        self._stream.end()
        self._channel.close()

    def _command(self, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._numbered += 1
        own = {"number": self._numbered, "received": self._received}
        data = to_bytes(Message({**header, **own}, arrays))
        self._unapplied.append((self._numbered, data))
        self._stream.requests.put(data)

    def _results(self, reply: Reply) -> list[Arrival]:
        if not isinstance(reply, bytes):
            self._lose(reply)
            return []
        message = from_bytes(reply)
        self._check(message)
        header = message.header
        self._forget_applied(header["applied"])
        self._received = header["number"]
        return [(header["generation"], decode_batch(message))]

    def _open(self, within_s: float) -> Message:
        """Open a stream to the session, or to a new one, and return what the server says first."""
        self._stream = stream = _Stream(self._channel, self._metadata)
        start = {
            "protocol": PROTOCOL,
            "session": self._session,
            "seed": self._seed,
            "received": self._received,
        }
        stream.requests.put(to_bytes(Message(start)))
        try:
            reply = stream.replies.get(timeout=within_s)
        except queue.Empty:
            stream.end()
            raise _UnreachableError(f"{self._url} did not answer within {within_s:g} s.") from None
        if not isinstance(reply, bytes):
            stream.end()
            raise _refusal(self._url, reply)
        hello = from_bytes(reply)
        self._check(hello)
        self._session, self._keep_s = hello.header["session"], hello.header["keep_s"]
        self._forget_applied(hello.header["applied"])
        for _, data in self._unapplied:
            stream.requests.put(data)
        return hello

    def _lose(self, error: grpc.RpcError | None) -> None:
        self._stream.end()
        if error is not None and error.code() in _REFUSALS:
            raise _refusal(self._url, error)
        self._lost_at_s = time.monotonic()

    def _again(self, left_s: float | None) -> bool:
        """Try to connect again, and return whether that worked.

        Raises:
            EngineError: if the server has given the fleet up by now.
        """
        assert self._lost_at_s is not None
        try:
            self._open(_AGAIN_WITHIN_S)
        except _UnreachableError as error:
            if time.monotonic() - self._lost_at_s > self._keep_s:
                raise EngineError(
                    f"{error} The connection was lost for more than {self._keep_s:g} s, for which "
                    "the server keeps a fleet."
                ) from error
            time.sleep(_TRY_EVERY_S if left_s is None else min(_TRY_EVERY_S, left_s))
            return False
        self._lost_at_s = None
        return True

    def _check(self, message: Message) -> None:
        error = decode_error(message)
        if error is not None:
            self._stream.end()
            raise type(error)(f"{self._url}: {error}")

    def _forget_applied(self, number: int) -> None:
        while self._unapplied and self._unapplied[0][0] <= number:
            self._unapplied.popleft()


class _UnreachableError(EngineError):
    """Nobody answers now, which may change."""


def _refusal(url: str, error: grpc.RpcError | None) -> TroupeError:
    if error is None:
        return _UnreachableError(f"{url} ended the connection.")
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return UserError(
                f"{url} refuses the token: {error.details()}. Give that of the server, as "
                f"`token` or {FLEETS.token}."
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            return UserError(f"{url} is no `troupe serve`.")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return EngineError(f"{url} refuses what was sent: {error.details()}.")
    return _UnreachableError(f"{url} cannot be reached: {error.details()}.")
