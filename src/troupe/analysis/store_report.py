"""One self-contained page about a store of episodes."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.figure import Figure

from troupe.analysis import page
from troupe.analysis.canvas import axis_figures, colour, panels, styled, to_svg
from troupe.analysis.words import count, figure, percent
from troupe.core.errors import UserError
from troupe.core.files import write_atomic
from troupe.episodes.store import Store
from troupe.episodes.store.images import encode

MOST_GROUPS = 20
"""A column with more different values is no grouping."""
TIME_BINS = 30
MAP_BINS = 12
EXAMPLES = 12
PLACE = ("x", "y")

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
        parts += [_groups(episodes, success), _figures(episodes, success)]
    parts.append(_examples(store, episodes))
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
    parts = []
    for name in episodes.column_names:
        if name in ("id", "written", "success") or pa.types.is_nested(episodes[name].type):
            continue
        values = np.asarray([str(value) for value in episodes[name].to_pylist()])
        found = np.unique(values)
        if not 1 < len(found) <= MOST_GROUPS:
            continue
        rows = []
        for value in found:
            of_group = success[values == value]
            rows.append([value, percent(float(of_group.mean())), count(len(of_group))])
        parts.append(page.table([name, "success", "episodes"], rows))
    return page.heading("Success by what differs", "\n".join(parts)) if parts else ""


def _figures(episodes: pa.Table, success: Values) -> str:
    drawn = []
    with styled():
        for name, (title, words, draw) in FIGURES.items():
            made = draw(episodes, success)
            if made is not None:
                drawn.append(page.picture(title, words, to_svg(made, name, html.escape(title))))
    return page.heading("Where and when", "\n".join(drawn)) if drawn else ""


def _over_time(episodes: pa.Table, success: Values) -> Figure | None:
    if len(success) < 2 * TIME_BINS:
        return None
    parts = np.array_split(np.arange(len(success)), TIME_BINS)
    (axes,) = panels(1)
    ends = [part[-1] + 1 for part in parts]
    axes.plot(ends, [100 * success[part].mean() for part in parts], color=colour(0), marker="o")
    axes.set_ylim(0, 100)
    axes.set_xlabel("episodes, in the order in which they were written")
    axes.set_ylabel("success (%)")
    return axis_figures([axes])


def _by_place(episodes: pa.Table, success: Values) -> Figure | None:
    names = episodes.column_names
    if not all(n in names and pa.types.is_floating(episodes[n].type) for n in PLACE):
        return None
    x, y = (np.asarray(episodes[name].to_numpy(), np.float64) for name in PLACE)
    there = np.isfinite(x) & np.isfinite(y)
    if not there.any():
        return None
    tried, x_edges, y_edges = np.histogram2d(x[there], y[there], MAP_BINS)
    good, _, _ = np.histogram2d(x[there], y[there], [x_edges, y_edges], weights=success[there])
    share = np.divide(100 * good, tried, out=np.full_like(good, np.nan), where=tried > 0)
    (axes,) = panels(1, height_in=5.0)
    mesh = axes.pcolormesh(x_edges, y_edges, share.T, vmin=0, vmax=100, cmap="cividis")
    axis_figures([axes]).colorbar(mesh, ax=axes, label="success (%)")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    return axis_figures([axes])


FIGURES: dict[str, tuple[str, str, Callable[[pa.Table, Values], Figure | None]]] = {
    "time": ("Success over time", "Each point: the mean of as many episodes.", _over_time),
    "place": ("Success by place", "Of episodes by x and y; white: none was tried.", _by_place),
}


def _examples(store: Store, episodes: pa.Table) -> str:
    """Return a contact sheet: a camera's last images, of episodes all over the store."""
    shown = [n for n, f in store.schema.images.items() if f.encoding in ("png", "jpeg")]
    colours = [n for n in shown if len(store.schema.images[n].shape) == 3]
    if not shown:
        return ""
    name = (colours or shown)[0]
    ids = episodes["id"].to_pylist()
    chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, EXAMPLES).astype(int))]
    last = {id: images[-1] for id in chosen if len(images := store.episode(id).images[name])}
    pictures = "".join(
        f'<img width="160" alt="{page.text(id)}" title="{page.text(id)}" '
        f'src="data:image/png;base64,{base64.b64encode(encode(image, "png")).decode()}"> '
        for id, image in last.items()
    )
    note = page.note(f"{name}: the last image of {count(len(last))} episodes.")
    return page.heading("Examples", f"{note}<p>{pictures}</p>") if last else ""
