"""``troupe replay``: run a recorded run again and say whether it is the same."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from troupe.cli.output import console, print_json, users_output
from troupe.cli.source import directories
from troupe.core.time import NANOSECONDS


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A recorded run: a directory or URL.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a recorded run again from its seed; the first difference, if any, is an error."""
    from troupe.fleet.replay import replay_run

    with users_output(as_json), directories([run]) as (path,):
        found = replay_run(path)
    time_s = found.time_ns / NANOSECONDS["s"]
    if as_json:
        difference = None if found.difference is None else vars(found.difference)
        about = {"same": difference is None, "time_s": time_s, "samples": found.samples}
        print_json({**about, "packs": list(found.packs), "difference": difference})
    elif found.difference is None:
        console.print(
            f"the same: {found.samples:,} samples of {len(found.packs)} packs over {time_s:g} s"
        )
    else:
        console.print(escape(str(found.difference)), style="bold", soft_wrap=True)
    if found.difference is not None:
        raise typer.Exit(1)
