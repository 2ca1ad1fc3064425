"""A crew in this process: one group is stepped by whoever waits for it, several by threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from troupe.fleet.serving.group import Answer, Command, Group


class HereCrew:
    """Steps groups in this process.

    Several groups have a thread each, so that a simulator that takes long delays no other.
    """

    def __init__(self, groups: Sequence[Group], first_group: int = 0) -> None:
        """Begin to wait for commands.

        Args:
            groups: to step.
            first_group: the number of the first one.
        """
        self._groups = groups
        self._first_group = first_group
        self.is_alone = len(groups) == 1
        self._answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        self._commands: list[queue.SimpleQueue[Command | None]] = [
            queue.SimpleQueue() for _ in groups
        ]
        self._threads: list[threading.Thread] = []
        if not self.is_alone:
            for group, commands in zip(groups, self._commands, strict=True):
                thread = threading.Thread(target=self._run, args=(group, commands), daemon=True)
                thread.start()
                self._threads.append(thread)

    def post(self, command: Command) -> None:
        """Give a group a command; it does its commands one after the other."""
        self._commands[command.group - self._first_group].put(command)

    def collect(self, timeout_s: float | None) -> list[Answer]:
        """Return the answers that have come; wait for the first one.

        Args:
            timeout_s: for how long, None for ever.
        """
        try:
            if self.is_alone:
                command = self._commands[0].get(timeout=timeout_s)
                return [] if command is None else [self._groups[0].do(command)]
            found = [self._answers.get(timeout=timeout_s)]
            while not self._answers.empty():
                found.append(self._answers.get())
        except queue.Empty:
            return []
        answers = []
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def close(self) -> None:
        """End the threads after the steps that they do, and close the simulations."""
        for commands in self._commands:
            commands.put(None)
        for thread in self._threads:
            thread.join()
        for group in self._groups:
            group.simulation.close()
        self._groups = ()

    def _run(self, group: Group, commands: queue.SimpleQueue[Command | None]) -> None:
        while (command := commands.get()) is not None:
            try:
                self._answers.put(group.do(command))
            except Exception as error:
                self._answers.put(error)
                return
