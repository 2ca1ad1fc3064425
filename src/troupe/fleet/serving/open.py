"""How to get a fleet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from troupe.core.errors import UserError
from troupe.fleet.serving.fleet import Fleet
from troupe.fleet.serving.local import LocalLink
from troupe.fleet.serving.plan import Plan, read_experiment

SCHEMES = ("grpc://", "grpcs://")


def connect(
    source: str | Path,
    *,
    instances: int | None = None,
    workers: int | None = None,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    group: int | None = None,
    token: str | None = None,
) -> Fleet:
    """Return a fleet of instances that any model can step.

    Args:
        source: an experiment of the catalog or a file, whose instances run on this machine; or
            ``grpc://host:port`` or ``grpcs://host:port``, where ``troupe serve`` runs.
        instances: in total; default: the experiment's ``fleet.instances``.
        workers: processes of this machine that step them, 0 for this one; default:
            ``fleet.workers``.
        overrides: of the experiment, each "key.key=value".
        seed: the root seed; default: the experiment's, or the server's.
        group: instances of a worker that step together; default: all of them, but 1 where a
            simulator declares a ``step_time`` or runs in a process or on a machine of its own.
        token: of the server; default: ``TROUPE_TOKEN``, or the file ``TROUPE_TOKEN_FILE``.

    Raises:
        UserError: if anything of it is wrong, or the server refuses it.
        TroupeError: if a process does not start, or the server cannot be reached.
    """
    if not str(source).startswith(SCHEMES):
        if token is not None:
            raise UserError(f"token: '{source}' runs here; valid for grpc:// and grpcs:// only.")
        experiment = read_experiment(source, overrides, instances, workers)
        return Fleet(LocalLink(Plan(experiment, group, seed)))
    from troupe.fleet.serving.client import RemoteLink

    given = {
        "instances": instances,
        "workers": workers,
        "overrides": list(overrides) or None,
        "group": group,
    }
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name}: {value!r} is for `troupe serve` to say, at {source}.")
    return Fleet(RemoteLink(str(source), token, seed))
