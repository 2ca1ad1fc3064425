"""The tree of errors.

TroupeError            anything Troupe says on purpose; exit code 1, what was collected is kept
├── UserError          the user's input was wrong; exit code 2, nothing was started or overwritten
├── EngineError        a simulator failed
├── FunctionError      a function of the user's raised in mid-run
├── PlanningError      an arm has no way to where it should go
└── InterruptedRun     stopped by a signal; exit code 130, resumable
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TroupeError(Exception):
    """Base of every error that Troupe raises on purpose."""

    exit_code = 1


class UserError(TroupeError):
    """A value that the user gave is wrong; the message names it and the valid ones."""

    exit_code = 2


class EngineError(TroupeError):
    """A simulator could not go on."""


class FunctionError(TroupeError):
    """A function of the user's raised in mid-run."""


class PlanningError(TroupeError):
    """An arm has no way to where it should go."""


class InterruptedRun(TroupeError):  # noqa: N818 - it is no failure
    """The run was stopped by a signal after it wrote a checkpoint."""

    exit_code = 130


def unknown(kind: str, value: str, valid: Iterable[str], where: str = "") -> UserError:
    """Return the error for a name that is none of the valid ones.

    Args:
        kind: what the name should be, e.g. "robot".
        value: the name that was given.
        valid: the names that exist.
        where: the place in the user's input, e.g. "engines.arm".
    """
    names = sorted(valid)
    close = difflib.get_close_matches(value, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    place = f"{where}: " if where else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"{place}unknown {kind} '{value}'.{hint} Valid: {listed}.")
