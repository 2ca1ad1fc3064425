"""Ctrl-C and SIGTERM: requests to stop at the next good moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


def interruptible(stop: threading.Event) -> AbstractContextManager[None]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, and request to stop in case it gets lost."""

    def interrupt(number: int, frame: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    return _handling_signals(interrupt)


def stopping_on_signals(stop: threading.Event) -> AbstractContextManager[None]:
    """Turn the first SIGINT or SIGTERM into a request to stop; the next raises."""

    def request(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    return _handling_signals(request)


@contextmanager
def _handling_signals(handle: Callable[[int, object], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
