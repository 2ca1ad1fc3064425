"""``troupe replay``: run a recorded run, or a stored episode, again: is it the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from troupe.cli.output import console, print_json, users_output
from troupe.cli.source import directories
from troupe.core.errors import UserError
from troupe.core.time import NANOSECONDS


def replay(
    run: Annotated[
        str, typer.Argument(metavar="RUN|STORE", help="A recorded run or a store: path or URL.")
    ],
    episode: Annotated[
        str | None, typer.Option(metavar="ID", help="Of a store: the episode to run again.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Of an episode: a film (.mp4) or strip (.png) to write.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Of an episode: to look through; default: the first.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=16, max=2048, help="Of an episode's images: height, pixels.")
    ] = 240,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a recorded run, or an episode, again from its seed; any difference is an error."""
    if episode is not None:
        _replay_episode(run, episode, out, camera, size, as_json)
        return
    if out is not None or camera is not None:
        raise UserError("--out and --camera are for an episode of a store: give --episode.")
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


def _replay_episode(
    url: str, id: str, out: Path | None, camera: str | None, size: int, as_json: bool
) -> None:
    """Run a stored episode again, and write what is to be seen."""
    from troupe.episodes.store import open_store
    from troupe.fleet.collecting.film import check_film, write_film
    from troupe.fleet.collecting.replay import default_view, read_episode, replay_episode

    if out is not None:
        check_film(out)
    stored = read_episode(open_store(url), id)
    view = None if out is None else default_view(stored.experiment, camera, size, size)
    moments = list(replay_episode(stored, view))
    if out is not None:
        steps_per_s = NANOSECONDS["s"] / stored.experiment.loop.step
        write_film(out, [m.image for m in moments if m.image is not None], steps_per_s)
    if as_json:
        print_json(
            {"same": True, "steps": len(moments) - 1, "out": None if out is None else str(out)}
        )
    else:
        console.print(f"the same: {len(moments) - 1} steps" + (f"; {out}" if out else ""))
