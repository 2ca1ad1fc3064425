"""Export of a store as a LeRobotDataset v3, as LeRobot 0.4 writes and reads it.

A frame is a step: what was before it, the action, and what came of it. `lerobot_layout` says which
feature holds what; `origin` keeps the rest in ``meta/troupe``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from troupe.core.errors import unknown
from troupe.episodes.exchange.lerobot_files import INFO
from troupe.episodes.exchange.lerobot_layout import layout_for
from troupe.episodes.exchange.lerobot_rate import check_rate, rate_of
from troupe.episodes.exchange.lerobot_writer import LeRobotWriter
from troupe.episodes.exchange.place import check_place, new_dataset
from troupe.episodes.exchange.selection import Exchanged, Report, Selection, no_report
from troupe.episodes.video import check_video

IMAGE_KINDS = ("png", "video", "none")


def export_lerobot(
    selection: Selection,
    out: Path,
    *,
    state: Sequence[str] | None = None,
    images: str = "png",
    task: str | None = None,
    fps: float | None = None,
    force: bool = False,
    report: Report = no_report,
) -> Exchanged:
    """Write episodes as a LeRobotDataset v3.

    Args:
        selection: of a store's episodes.
        out: folder of the data set, which appears whole.
        state: arrays of steps that make ``observation.state``; default: ``observation`` or its
            parts, or else all datapacks that the store keeps.
        images: "png": RGB images as they are, in the rows; "video": as H.264, which is smaller and
            not exact; "none": no images at all.
        task: that the robot is given in words; default: an episode's ``task`` or ``experiment``,
            or else the store's name.
        fps: frames a second; default: from the steps' ``time_ns``.
        force: whether a data set that is there is replaced.
        report: is told how far it is.

    Raises:
        UserError: if an argument is wrong, or the format can't express the episodes; nothing is
            there then.
        TroupeError: if the store cannot be read, or the data set not written.
    """
    if images not in IMAGE_KINDS:
        raise unknown("kind of images", images, IMAGE_KINDS, "--images")
    if fps is not None:
        check_rate(fps)
    if images == "video":
        check_video("--images video")
    check_place(out, INFO, force=force)
    schema = selection.store.schema
    layout = layout_for(
        schema,
        state=state,
        images=images,
        has_ends=selection.has("terminated"),
        has_success=selection.has("success"),
    )
    left_out = tuple(f"images {name}" for name in schema.images if name not in layout.images)
    rate = rate_of(selection) if fps is None else fps
    default_task = selection.store.url.rpartition("/")[2]
    with (
        new_dataset(out, INFO, force=force) as folder,
        LeRobotWriter(folder, schema, layout, task, default_task, rate) as writer,
    ):
        for done, row in enumerate(selection.rows()):
            writer.add(row)
            report(done + 1, len(selection.ids))
        writer.finish(selection)
    return Exchanged(str(out), writer.num_episodes, writer.num_frames, left_out=left_out)
