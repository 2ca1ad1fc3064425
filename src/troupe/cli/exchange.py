"""``troupe store export`` and ``import``: stores to and from other formats of episodes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from troupe.cli.output import console, counting_progress, print_json
from troupe.core.errors import UserError, unknown

if TYPE_CHECKING:
    from troupe.episodes.exchange import Exchanged
    from troupe.episodes.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def export(
    place: Annotated[str, typer.Argument(metavar="STORE", help="A store: a directory or URL.")],
    to: Annotated[str, typer.Option(metavar="FORMAT", help="lerobot or minari.")],
    out: Annotated[Path, typer.Option(help="The data set's folder.")],
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition over the view episodes.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="lerobot: png (default, exact), video (H.264) or none; minari: infos or none."
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="lerobot: arrays of steps that make observation.state; default: what the policy "
            "saw, or else all datapacks.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="lerobot: in words; default: an episode's experiment.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="lerobot: of steps that have no time of their own.")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="minari: of Gymnasium, or none; default: the experiment that the store keeps.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set.")] = False,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave out shards that are corrupt or missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write episodes as a LeRobotDataset v3 or a data set of Minari."""
    from troupe.episodes.exchange import FORMATS, Selection, export_lerobot, export_minari
    from troupe.episodes.store import open_store

    if to not in FORMATS:
        raise unknown("format", to, FORMATS, "--to")
    only = {"--state": "lerobot", "--task": "lerobot", "--fps": "lerobot", "--env": "minari"}
    for (option, format), value in zip(only.items(), (state, task, fps, env), strict=True):
        if value is not None and to != format:
            raise UserError(f"{option} is not for --to {to}.")
    opened = open_store(place, skip_corrupt=skip_corrupt)
    selection = Selection(opened, where)
    with counting_progress("exporting", quiet=as_json) as report:
        if to == "lerobot":
            done = export_lerobot(
                selection,
                out,
                state=None if state is None else [name for name in state.split(",") if name],
                images=images or "png",
                task=task,
                fps=fps,
                force=force,
                report=report,
            )
        else:
            spec = _environment(opened, selection.configs(), env)
            done = export_minari(
                selection,
                out,
                images=images or "infos",
                env_spec=spec,
                force=force,
                report=report,
            )
    _tell(done, as_json, opened.skipped)


def import_(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="Folder of a LeRobotDataset v3 or of Minari, or Minari's id."
        ),
    ],
    place: Annotated[
        str, typer.Argument(metavar="STORE", help="A store: a directory or URL; made if new.")
    ],
    as_json: AsJson = False,
) -> None:
    """Add the episodes of a data set to a store."""
    from troupe.episodes.exchange import import_dataset

    with counting_progress("importing", quiet=as_json) as report:
        done = import_dataset(dataset, place, report)
    _tell(done, as_json, {})


def _environment(store: Store, configs: list[str], id: str | None) -> Any:
    """Return Gymnasium's description of an environment, or None if nobody knows one."""
    import gymnasium
    from gymnasium.envs.registration import EnvSpec

    from troupe.envs import environment_id
    from troupe.episodes.store.manifest import experiment_file

    if id == "none":
        return None
    if id is not None:
        try:
            return gymnasium.spec(id)
        except gymnasium.error.Error as error:
            raise UserError(f"--env: {error}") from error
    if len(configs) != 1:
        return None
    try:
        description = json.loads(store.files.read(experiment_file(configs[0])))
    except FileNotFoundError:
        return None
    return EnvSpec(
        id=environment_id(description["name"]),
        entry_point="troupe.experiments.environments:make_environment",
        kwargs={"experiment": {k: v for k, v in description.items() if k != "learner"}},
    )


def _tell(done: Exchanged, as_json: bool, skipped: dict[str, str]) -> None:
    if as_json:
        print_json({**asdict(done), "skipped": skipped})
        return
    for name, reason in skipped.items():
        console.print(f"left out: {escape(name)}: {escape(reason)}", soft_wrap=True)
    for name in done.left_out:
        console.print(f"left out: {escape(name)}", soft_wrap=True)
    repeats = f" ({done.repeats:,} were there already)" if done.repeats else ""
    console.print(f"{done.episodes:,} episodes, {done.steps:,} steps{repeats}\n{done.place}")
