"""``troupe store``: query, report, verify, keep, export and import a store of episodes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from troupe.cli.exchange import export, import_
from troupe.cli.output import console, print_json
from troupe.core.time import NANOSECONDS, parse_duration

if TYPE_CHECKING:
    from troupe.episodes.store.upkeep import Upkeep

SHOWN_ROWS = 50

store = typer.Typer(
    help="Query, report, verify, keep, export and import a store of episodes.",
    no_args_is_help=True,
)
store.command()(export)
store.command("import")(import_)

Place = Annotated[str, typer.Argument(metavar="STORE", help="A store: a directory or URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SkipCorrupt = Annotated[
    bool, typer.Option("--skip-corrupt", help="Leave out shards that are corrupt or missing.")
]
Grace = Annotated[
    str, typer.Option(help="How long replaced files stay for readers that have begun before.")
]


@store.command()
def query(
    place: Place,
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="Over episodes, steps, draws and images.")
    ],
    skip_corrupt: SkipCorrupt = False,
    as_json: AsJson = False,
) -> None:
    """Print what SQL says of the views episodes, steps, draws and images."""
    from troupe.episodes.store import open_store

    opened = open_store(place, skip_corrupt=skip_corrupt)
    found = opened.query(sql)
    rows = [{k: _plain(v) for k, v in row.items()} for row in found.to_pylist()]
    if as_json:
        print_json({"rows": rows, "skipped": opened.skipped})
        return
    _tell_skipped(opened.skipped)
    table = Table(*map(escape, found.column_names))
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    console.print(table)
    if len(rows) > SHOWN_ROWS:
        console.print(f"{len(rows) - SHOWN_ROWS:,} more rows; --json prints all.")


@store.command()
def report(
    place: Place,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("store.html"),
    skip_corrupt: SkipCorrupt = False,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML page: success by object and place, over time, and examples."""
    from troupe.analysis.store_report import write_store_report
    from troupe.episodes.store import open_store

    opened = open_store(place, skip_corrupt=skip_corrupt)
    written = write_store_report(opened, out)
    if as_json:
        print_json({"report": str(written), "skipped": opened.skipped})
    else:
        _tell_skipped(opened.skipped)
        console.print(f"report: {written}")


@store.command()
def verify(place: Place, as_json: AsJson = False) -> None:
    """Read all shards and compare them with their checksums; a wrong one is exit code 1."""
    from troupe.episodes.store import open_store
    from troupe.episodes.store import verify as verify_store

    found = verify_store(open_store(place))
    if as_json:
        print_json(asdict(found))
    else:
        console.print(
            f"{found.episodes:,} episodes, {found.steps:,} steps and {found.images:,} images in "
            f"{found.shards:,} shards of {found.num_bytes / 2**20:,.1f} MiB"
        )
        for name, reason in found.wrong.items():
            console.print(f"wrong: {escape(name)}: {escape(reason)}", soft_wrap=True)
        if found.unfinished or found.replaced:
            console.print(
                f"nobody reads {len(found.unfinished)} unfinished and {found.replaced} replaced "
                "shards; `troupe store compact` removes them in time"
            )
    if found.wrong:
        raise typer.Exit(1)


@store.command()
def compact(
    place: Place,
    target_mb: Annotated[int, typer.Option(min=1, help="Size of a shard, in MiB.")] = 256,
    grace: Grace = "1h",
    as_json: AsJson = False,
) -> None:
    """Join small shards, and remove what earlier upkeep has replaced."""
    from troupe.episodes.store import compact as compact_store
    from troupe.episodes.store import open_store

    grace_s = _seconds(grace)
    done = compact_store(open_store(place), target_bytes=target_mb * 2**20, grace_s=grace_s)
    _tell(done, as_json)


@store.command()
def retain(
    place: Place,
    newest: Annotated[int | None, typer.Option(min=0, help="Keep that many episodes.")] = None,
    younger_than: Annotated[
        str | None, typer.Option(help="Keep episodes up to that age, e.g. 720h.")
    ] = None,
    grace: Grace = "1h",
    as_json: AsJson = False,
) -> None:
    """Remove all episodes but the newest."""
    from troupe.episodes.store import open_store
    from troupe.episodes.store import retain as retain_episodes

    age_s = None if younger_than is None else _seconds(younger_than)
    grace_s = _seconds(grace)
    opened = open_store(place)
    _tell(retain_episodes(opened, newest=newest, younger_than_s=age_s, grace_s=grace_s), as_json)


def _seconds(duration: str) -> float:
    return parse_duration(duration) / NANOSECONDS["s"]


def _tell(done: Upkeep, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
    else:
        console.print(
            f"{done.before:,} shards before, {done.after:,} now; {done.episodes_removed:,} "
            f"episodes and the files of {done.files_removed:,} earlier shards removed"
        )


def _tell_skipped(skipped: dict[str, str]) -> None:
    for name, reason in skipped.items():
        console.print(f"left out: {escape(name)}: {escape(reason)}", soft_wrap=True)


def _plain(value: object) -> object:
    """Return a value that JSON has: of bytes their number, of times their text."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
