"""One engine of a loop, between two synchronisations."""

from __future__ import annotations

from troupe.engines.base import ConcurrentEngine, Engine


class Member:
    """An engine that was started and is waited for.

    An engine of this process advances only when it is waited for: until then its packs must be
    those of its last synchronisation, for functions that others trigger.

    Attributes:
        name: of the engine.
        engine: itself.
        is_concurrent: whether it advances elsewhere in the meantime.
    """

    def __init__(self, name: str, engine: Engine) -> None:
        """Take an idle engine."""
        self.name = name
        self.engine = engine
        self._concurrent = engine if isinstance(engine, ConcurrentEngine) else None
        self.is_concurrent = self._concurrent is not None
        self._ahead_ns = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._ahead_ns

    def forget(self) -> None:
        """Forget what the engine was started for."""
        self._ahead_ns = 0

    def start(self, duration_ns: int) -> None:
        """Let the engine advance by a time."""
        self._ahead_ns = duration_ns
        if self._concurrent is not None:
            self._concurrent.begin(duration_ns)

    def complete(self) -> None:
        """Wait until the engine has advanced by the time it was started for."""
        ahead_ns, self._ahead_ns = self._ahead_ns, 0
        if not ahead_ns:
            return
        if self._concurrent is not None:
            self._concurrent.finish()
        else:
            self.engine.advance(ahead_ns)
