"""Frames over a socket between two processes of this machine."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from troupe.core.machine import num_cores
from troupe.engines.host.messages import Message, decode, encode

MESSAGE, ADVANCE = range(2)

SPIN_NS = 50_000
_WAITS_UNTIL_NEXT_TRY = 100
_SLICE_MS = 1000
# kind, area, writes in shared memory, bytes of the header, number; no padding
_FRAME = struct.Struct("<BBHIq")


class PeerEnded(Exception):  # noqa: N818 - each side says itself what that means
    """The other process closed its end, or is no more."""


@dataclass(frozen=True)
class Frame:
    """What arrived.

    Attributes:
        kind: ``MESSAGE``, or ``ADVANCE``, which all is said with.
        area: of the shared memory that it is about.
        num_writes: that were posted there.
        duration_ns: of an advance.
        message: the content of the others.
    """

    kind: int
    area: int
    num_writes: int
    duration_ns: int
    message: Message


_NOTHING = Message({})


class Channel:
    """One end of a socket pair.

    To wait, it first asks again and again for at most 50 us, because to wake a process may take
    that long. Where that was in vain, as all cores are busy or answers come later, it does so only
    once in 100 times.
    """

    def __init__(self, end: socket.socket, is_alive: Callable[[], bool]) -> None:
        """Use an end.

        Args:
            end: of the pair.
            is_alive: whether the other process is; its end may be held by further processes.
        """
        end.setblocking(False)
        self._socket = end
        self._is_alive = is_alive
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(end, select.POLLIN)
        self._writable.register(end, select.POLLOUT)
        self._may_spin = num_cores() > 1
        self._waits_until_spin = 0
        self._buffer = bytearray(_FRAME.size)

    def send_advance(self, duration_ns: int, area: int, num_writes: int) -> None:
        """Send the frame of an advance, all that is to say."""
        self._send(_FRAME.pack(ADVANCE, area, num_writes, 0, duration_ns), None)

    def send(
        self, message: Message, area: int = 0, num_writes: int = 0, deadline_ns: int | None = None
    ) -> None:
        """Send a message.

        Raises:
            PeerEnded: if the other process ended.
            TimeoutError: if it does not take the message before the deadline.
        """
        if not (message.header or message.arrays):
            self._send(_FRAME.pack(MESSAGE, area, num_writes, 0, 0), deadline_ns)
            return
        header, payload = encode(message)
        frame = _FRAME.pack(MESSAGE, area, num_writes, len(header), len(payload))
        self._send(frame + header, deadline_ns)
        self._send(payload, deadline_ns)

    def has_news(self) -> bool:
        """Return at once whether a frame is there, or the other process ended."""
        return bool(self._readable.poll(0)) or not self._is_alive()

    def receive(self, deadline_ns: int | None = None) -> Frame:
        """Wait for a frame.

        Args:
            deadline_ns: on `time.monotonic_ns`, None for ever.

        Raises:
            PeerEnded: if the other process ended.
            TimeoutError: if nothing came before the deadline.
        """
        frame = memoryview(self._buffer)
        self._receive_into(frame, deadline_ns)
        kind, area, num_writes, header_size, number = _FRAME.unpack(frame)
        if kind == ADVANCE:
            return Frame(kind, area, num_writes, number, _NOTHING)
        if header_size == 0:
            return Frame(kind, area, num_writes, 0, _NOTHING)
        content = bytearray(header_size + number)
        self._receive_into(memoryview(content), deadline_ns)
        view = memoryview(content)
        message = decode(view[:header_size], view[header_size:])
        return Frame(kind, area, num_writes, 0, message)

    def send_descriptor(self, descriptor: int) -> None:
        """Give the other process a file."""
        try:
            socket.send_fds(self._socket, [b"\0"], [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            raise PeerEnded from None

    def receive_descriptor(self) -> int:
        """Wait for a file of the other process."""
        self._wait(self._readable, None)
        _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise PeerEnded
        return descriptors[0]

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _send(self, data: bytes, deadline_ns: int | None) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait(self._writable, deadline_ns)
            except (BrokenPipeError, ConnectionResetError):
                raise PeerEnded from None

    def _receive_into(self, view: memoryview, deadline_ns: int | None) -> None:
        while view:
            try:
                num_bytes = self._socket.recv_into(view)
            except BlockingIOError:
                if not self._spin():
                    self._wait(self._readable, deadline_ns)
                continue
            except ConnectionResetError:
                num_bytes = 0
            if num_bytes == 0:
                raise PeerEnded
            view = view[num_bytes:]

    def _spin(self) -> bool:
        """Return whether something arrives soon."""
        if not self._may_spin:
            return False
        if self._waits_until_spin:
            self._waits_until_spin -= 1
            return False
        until_ns = time.perf_counter_ns() + SPIN_NS
        while time.perf_counter_ns() < until_ns:
            if self._readable.poll(0):
                return True
        self._waits_until_spin = _WAITS_UNTIL_NEXT_TRY
        return False

    def _wait(self, poller: select.poll, deadline_ns: int | None) -> None:
        timeout_ms = _SLICE_MS
        while True:
            if deadline_ns is not None:
                left_ms = -(-(deadline_ns - time.monotonic_ns()) // 1_000_000)
                timeout_ms = min(_SLICE_MS, max(0, left_ms))
            if poller.poll(timeout_ms):
                return
            if not self._is_alive():
                raise PeerEnded
            if deadline_ns is not None and time.monotonic_ns() >= deadline_ns:
                raise TimeoutError
