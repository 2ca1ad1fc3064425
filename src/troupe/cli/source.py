"""What a user names on the command line: experiments and places for runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from troupe.core.errors import UserError
from troupe.experiments.load import Description, apply_overrides, read_description


def describe_experiment(source: str | None, env: str | None, overrides: list[str]) -> Description:
    """Return the description of a catalog experiment, a file or a Gymnasium id, with overrides.

    Raises:
        UserError: if there is none of that name.
    """
    if (source is None) == (env is None):
        raise UserError("give either an experiment, or --env with a Gymnasium id.")
    if env is not None:
        from troupe.experiments.gymnasium_ids import describe_environment

        return apply_overrides(describe_environment(env), overrides)
    assert source is not None
    return apply_overrides(read_description(source), overrides)


def new_run_path(name: str) -> Path:
    """Return a path under ``runs/`` that does not exist yet."""
    path, number = Path("runs") / name, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{name}-{number}"
    return path


@contextmanager
def directories(places: list[str]) -> Iterator[list[Path]]:
    """Give directories on this machine with the runs and sweeps at paths and URLs, to read."""
    from troupe.fleet.remote_runs import fetched

    with ExitStack() as stack:
        yield [stack.enter_context(fetched(place)) for place in places]
