"""One self-contained page about a store of episodes."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.figure import Figure

from troupe.analysis import page
from troupe.analysis.canvas import styled, to_svg
from troupe.analysis.store_figures import by_place, over_numbers, over_time
from troupe.analysis.words import count, figure, percent
from troupe.core.errors import UserError
from troupe.core.files import write_atomic
from troupe.episodes.store import Store
from troupe.episodes.store.images import encode

MOST_GROUPS = 20
"""A column with more different values is no grouping."""
BOOKKEEPING = ("id", "written", "success", "config", "experiment", "seed", "instance", "episode")
"""Columns that say who collected an episode, not what it was like."""
EXAMPLES = 6
"""Of those that succeeded, and of the others."""

Values = npt.NDArray[Any]


def write_store_report(store: Store, output: Path) -> Path:
    """Write an HTML page: success by each column that groups, over time and by place; examples.

    Args:
        store: to be read; what needs a column that it has not is left out.
        output: of the page.

    Raises:
        UserError: if the store is empty, or the page cannot be written.
        TroupeError: if the store cannot be read.
    """
    episodes = store.query("SELECT * FROM episodes JOIN draws USING (id) ORDER BY written, id")
    if not len(episodes):
        raise UserError(f"store '{store.url}' has no episodes yet.")
    success = _success(episodes)
    parts = [
        f"<h1>{page.text(store.url.rstrip('/').rpartition('/')[2])}</h1>",
        page.note(f"Episodes in {store.url}."),
        page.tiles(_tiles(store, episodes, success)),
    ]
    if success is None:
        parts.append(page.missing(["a column 'success': nothing is said of it."]))
    else:
        told = episodes.drop_columns([n for n in BOOKKEEPING if n in episodes.column_names])
        parts += [_groups(told, success), _figures(told, success)]
    parts.append(_examples(store, episodes["id"].to_pylist(), success))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, page.page("Store: report", "\n".join(filter(None, parts))))
    except OSError as error:
        raise UserError(f"report '{output}' cannot be written: {error.strerror}.") from error
    return output


def _success(episodes: pa.Table) -> Values | None:
    if "success" not in episodes.column_names:
        return None
    return np.asarray([float(value or 0) for value in episodes["success"].to_pylist()])


def _tiles(store: Store, episodes: pa.Table, success: Values | None) -> list[tuple[str, str, str]]:
    manifests = [shard.manifest for shard in store.shards()]
    size_mib = sum(manifest.num_bytes for manifest in manifests) / 2**20
    steps = sum(manifest.num_steps for manifest in manifests)
    images = sum(manifest.num_images for manifest in manifests)
    words = f"{count(steps)} steps and {count(images)} images."
    tiles = [("Episodes", count(len(episodes)), words)]
    if success is not None:
        tiles.append(("Success", percent(float(success.mean())), "of all episodes."))
    return [*tiles, ("Size", f"{figure(size_mib)} MiB", f"in {count(len(manifests))} shards.")]


def _groups(episodes: pa.Table, success: Values) -> str:
    """Return a table of success for each column whose values group the episodes."""
    tables = []
    for name in episodes.column_names:
        groups = _groups_of(episodes[name])
        if not 1 < len(groups) <= MOST_GROUPS:
            continue
        shares = [float(success[rows].mean()) for rows in groups.values()]
        is_number = pa.types.is_floating(episodes[name].type)
        if is_number and set(shares) <= {0.0, 1.0}:
            continue  # a figure that success decides, not one that it depends on
        rows = [
            [value, percent(share), count(len(rows))]
            for (value, rows), share in zip(groups.items(), shares, strict=True)
        ]
        tables.append(page.table([name, "success", "episodes"], rows))
    return page.heading("Success by what differs", page.side_by_side(tables)) if tables else ""


def _groups_of(column: pa.ChunkedArray) -> dict[str, Values]:
    """Return the rows of each value, of a text with commas those of each of its parts."""
    if pa.types.is_nested(column.type):
        return {}
    values = [str(value) for value in column.to_pylist()]
    members: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        parts = dict.fromkeys(value.split(",")) if pa.types.is_string(column.type) else [value]
        for part in parts:
            members.setdefault(part, []).append(row)
            if len(members) > MOST_GROUPS:
                return {}
    return {value: np.array(members[value]) for value in sorted(members)}


def _figures(episodes: pa.Table, success: Values) -> str:
    sections = [
        (
            "time",
            "Success over time",
            "Each point: the mean of as many episodes.",
            over_time(success),
        ),
        (
            "place",
            "Success by place",
            "Where it was tried; white: nowhere there.",
            by_place(episodes, success),
        ),
        (
            "numbers",
            "Success over what differs",
            "Each point: the mean of as many episodes. Of lists: their mean and their length.",
            over_numbers(episodes, success),
        ),
    ]
    with styled():
        drawn = [_drawn(*section) for section in sections]
    return page.heading("Where and when", "\n".join(drawn)) if any(drawn) else ""


def _drawn(name: str, title: str, words: str, figures: Iterator[Figure]) -> str:
    made = [to_svg(f, f"{name}{i}", html.escape(title)) for i, f in enumerate(figures)]
    return page.picture(title, words, "".join(made)) if made else ""


def _examples(store: Store, ids: Sequence[str], success: Values | None) -> str:
    """Return a contact sheet: a camera's first and last images of some episodes of each kind."""
    shown = [n for n, f in store.schema.images.items() if f.encoding in ("png", "jpeg")]
    colours = [n for n in shown if len(store.schema.images[n].shape) == 3]
    if not shown:
        return ""
    name = (colours or shown)[0]
    kinds = {"Episodes": np.arange(len(ids))}
    if success is not None:
        kinds = {"Succeeded": np.flatnonzero(success > 0), "Failed": np.flatnonzero(success == 0)}
    parts = []
    for kind, rows in kinds.items():
        chosen = (
            rows[np.unique(np.linspace(0, len(rows) - 1, EXAMPLES).astype(int))]
            if len(rows)
            else rows
        )
        of_kind = [ids[i] for i in chosen.tolist()]
        pictures = [_pictures(id, store.episode(id).images[name]) for id in of_kind]
        if any(pictures):
            parts.append(page.note(f"{kind}: {count(len(rows))}, of which some are shown."))
            parts.append(page.side_by_side(filter(None, pictures)))
    note = page.note(f"{name}: the first and the last image of an episode.")
    return page.heading("Examples", "\n".join([note, *parts])) if parts else ""


def _pictures(id: str, images: Values) -> str:
    """Return an episode's first and last image, if it has any."""
    ends = images[[0, -1]] if len(images) > 1 else images
    return " ".join(
        f'<img width="160" alt="{page.text(id)}" title="{page.text(id)}" '
        f'src="data:image/png;base64,{base64.b64encode(encode(image, "png")).decode()}">'
        for image in ends
    )
