"""Threads that make shards of tables while their writer goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

ENCODERS = 2
"""Tables in work at most; with more a writer would need more memory, and others the cores."""


class Encoders:
    """Calls a function with each table and its number, a few at once; the numbers go up."""

    def __init__(
        self, changed: threading.Condition, encode: Callable[[pa.Table, int], None]
    ) -> None:
        """Start the threads.

        Args:
            changed: held and told when anything here changes.
            encode: called with a table and its number.
        """
        self._changed, self._encode = changed, encode
        self._given: deque[tuple[pa.Table, int]] = deque()
        self._in_work: dict[int, int] = {}
        self._num_stuck = 0
        self._error: BaseException | None = None
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._run, name="store encoder", daemon=True)
            for _ in range(ENCODERS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_episodes(self) -> int:
        """Of the tables that are not encoded yet, or are stuck."""
        with self._changed:
            return sum(self._in_work.values()) + sum(len(table) for table, _ in self._given)

    def give(self, table: pa.Table, number: int, timeout_s: float | None = None) -> bool:
        """Hand a table over as soon as a thread is free; return whether that was in time.

        Raises:
            BaseException: what an earlier table's encoding raised.
        """
        with self._changed:
            is_free = self._changed.wait_for(
                lambda: self._error or len(self._given) + len(self._in_work) < ENCODERS, timeout_s
            )
            self.check()
            if is_free:
                self._given.append((table, number))
                self._changed.notify_all()
            return bool(is_free)

    def settle(self) -> None:
        """Wait until all tables are encoded, or one is stuck.

        Raises:
            BaseException: what the encoding raised.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or self._num_stuck or not (self._given or self._in_work)
            )
            self.check()

    def check(self) -> None:
        """Raise what an encoding has raised, if one has."""
        with self._changed:
            if self._error is not None:
                raise self._error

    def wait_for_turn(self, number: int) -> bool:
        """Wait, in the function that encodes, for all tables of lower numbers.

        Returns:
            Whether none of them failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or number == min(self._in_work))
            return self._error is None

    @contextmanager
    def stuck(self) -> Iterator[None]:
        """Say, in the function that encodes, that it waits for something outside this process."""
        with self._changed:
            self._num_stuck += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._num_stuck -= 1

    def close(self, timeout_s: float | None = None) -> None:
        """End; wait for what is in work, each thread at most for a time."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._given or self._is_over)
                if not self._given:
                    return
                table, number = self._given.popleft()
                self._in_work[number] = len(table)
            try:
                self._encode(table, number)
            except BaseException as error:  # raised again where the next table is given
                with self._changed:
                    self._error = error
            with self._changed:
                del self._in_work[number]
                self._changed.notify_all()
