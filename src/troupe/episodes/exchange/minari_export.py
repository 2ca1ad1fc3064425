"""Export of a store as a data set of Minari, for those who learn offline with Gymnasium.

Observations are T + 1: what the policy saw before each step, and after the last. All other arrays
of steps are in ``infos`` at the place of the observation before the step, with a row of zeros at
the end; images of every step, the end included, too. `origin` keeps the rest in ``troupe``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError, unknown
from troupe.episodes.exchange.minari_files import METADATA, ORIGIN, check_minari, dataset_id
from troupe.episodes.exchange.origin import OriginWriter
from troupe.episodes.exchange.place import check_place, new_dataset
from troupe.episodes.exchange.selection import Exchanged, Report, Selection, no_report
from troupe.episodes.store import EpisodeRecord, StoreSchema
from troupe.episodes.store.schema import StepField
from troupe.episodes.store.table import to_record

OBSERVATION, NEXT, ACTION, REWARD = "observation", "next_observation", "action", "reward"
NEEDED = (OBSERVATION, NEXT, ACTION, REWARD)
IMAGE_KINDS = ("infos", "none")


def export_minari(
    selection: Selection,
    out: Path,
    *,
    images: str = "infos",
    env_spec: Any = None,
    force: bool = False,
    report: Report = no_report,
) -> Exchanged:
    """Write episodes as a data set of Minari.

    Args:
        selection: of a store's episodes, which has the policy's observations.
        out: folder of the data set, whose name ends in a version; it appears whole.
        images: "infos": in the infos; "none": no images.
        env_spec: Gymnasium's, of the environment that the episodes are from; it is made once, for
            its spaces. Without it spaces have no bounds.
        force: whether a data set that is there is replaced.
        report: is told how far it is.

    Raises:
        UserError: if an argument is wrong, or the format can't express the episodes; nothing is
            there then.
        TroupeError: if the store cannot be read, or the data set not written.
    """
    check_minari("--to minari")
    if images not in IMAGE_KINDS:
        raise unknown("kind of images", images, IMAGE_KINDS, "--images")
    name = dataset_id(out)
    check_place(out, METADATA, force=force)
    schema = selection.store.schema
    missing = [array for array in NEEDED if array not in schema.steps]
    if missing:
        raise UserError(
            f"store '{selection.store.url}' has no '{missing[0]}' of each step, which Minari "
            "wants: collect with --set collect.observations=true."
        )
    wrong = [name for name in (*schema.steps, *schema.images) if "/" in name]
    if wrong:
        raise UserError(f"'{wrong[0]}': Minari allows no '/' in names.")
    shown = StoreSchema({}, {} if images == "none" else schema.images)
    with new_dataset(out, METADATA, force=force) as folder:
        origin = OriginWriter(folder / ORIGIN, StoreSchema({}, {}))
        episodes = _Episodes(selection, shown, origin, report)
        _write(folder / "data", name, schema, env_spec, episodes)
        origin.close(selection.store, selection.configs(), {"images": list(shown.images)})
    left_out = tuple(f"images {image}" for image in schema.images if image not in shown.images)
    return Exchanged(str(out), episodes.done, episodes.steps, left_out=left_out)


class _Episodes:
    """Minari's buffers of episodes, made one by one."""

    def __init__(
        self, selection: Selection, shown: StoreSchema, origin: OriginWriter, report: Report
    ) -> None:
        self._selection, self._shown = selection, shown
        self._origin, self._report = origin, report
        self.done = self.steps = 0
        self.action_type = np.dtype(selection.store.schema.steps[ACTION].dtype)

    def __iter__(self) -> Iterator[Any]:
        from minari.data_collector.episode_buffer import EpisodeBuffer

        for row in self._selection.rows():
            record = to_record(row, self._selection.store.schema)
            length = record.num_steps
            terminated = record.about.get("terminated")
            if not length or terminated is None:
                what = "has no steps" if not length else "does not say whether it terminated"
                raise UserError(f"episode '{record.id}' {what}: leave it out by --where.")
            is_last = np.arange(length) == length - 1
            yield EpisodeBuffer(
                id=self.done,
                observations=_observations(record),
                actions=record.steps[ACTION].astype(self.action_type, copy=False),
                rewards=record.steps[REWARD],
                terminations=is_last & terminated,
                truncations=is_last & (not terminated),
                infos=self._infos(record, length),
            )
            self._origin.add(EpisodeRecord(record.id, record.about, record.draws))
            self.done, self.steps = self.done + 1, self.steps + length
            self._report(self.done, len(self._selection.ids))

    def _infos(self, record: EpisodeRecord, length: int) -> dict[str, npt.NDArray[Any]]:
        infos = {
            name: np.concatenate([values, np.zeros_like(values[:1])])
            for name, values in record.steps.items()
            if name not in NEEDED
        }
        for name in self._shown.images:
            if not np.array_equal(record.frames[name], np.arange(length + 1)):
                raise UserError(
                    f"episode '{record.id}' has not one image '{name}' before each step and at its "
                    "end, as infos do: collect with --set collect.image_steps=all, or leave images "
                    "out by --images none."
                )
            infos[name] = record.images[name]
        return infos


def _write(data: Path, name: str, schema: StoreSchema, env_spec: Any, episodes: _Episodes) -> None:
    """Write the data by Minari itself."""
    from minari import __version__
    from minari.dataset.minari_storage import MinariStorage

    observation, action = _space(schema.steps[OBSERVATION]), _space(schema.steps[ACTION])
    if env_spec is not None:
        observation, action = _spaces_of(env_spec, observation, action)
        episodes.action_type = action.dtype
    # Minari looks for files below a relative path at the wrong place
    storage = MinariStorage.new(
        data.absolute(), observation, action, env_spec, "hdf5", jpeg_encoding=False
    )
    storage.update_metadata({"dataset_id": name, "minari_version": __version__})
    storage.update_episodes(episodes)


def _observations(record: EpisodeRecord) -> npt.NDArray[Any]:
    before, after = record.steps[OBSERVATION], record.steps[NEXT]
    if not np.array_equal(before[1:], after[:-1], equal_nan=True):
        raise UserError(
            f"episode '{record.id}': what the policy saw after a step is not what it saw before "
            "the next, of which Minari has only one. Leave it out by --where."
        )
    return np.concatenate([before, after[-1:]])


def _space(field: StepField) -> Any:
    """Return a space without bounds."""
    from gymnasium.spaces import Box

    dtype = np.dtype(field.dtype)
    if dtype.kind == "f":
        return Box(-np.inf, np.inf, field.shape, dtype.type)
    limits = np.iinfo(dtype)
    return Box(limits.min, limits.max, field.shape, dtype.type)


def _spaces_of(env_spec: Any, observation: Any, action: Any) -> tuple[Any, Any]:
    """Return the spaces of an environment.

    Raises:
        UserError: if the store's arrays are not in them.
    """
    import gymnasium

    try:
        env = gymnasium.make(env_spec)
    except (gymnasium.error.Error, UserError) as error:
        raise UserError(
            f"environment '{env_spec.id}' cannot be made: {error} Choose another by --env, or none "
            "by --env none."
        ) from error
    try:
        spaces = env.observation_space, env.action_space
    finally:
        env.close()
    for kind, space, found in zip(
        ("observation", "action"), spaces, (observation, action), strict=True
    ):
        # choices are kept as whole numbers of another type
        dtype = found.dtype if isinstance(space, gymnasium.spaces.Discrete) else space.dtype
        if (space.shape, dtype) != (found.shape, found.dtype):
            raise UserError(
                f"environment '{env_spec.id}' has {kind} {space}, the store {found.dtype} of "
                f"{found.shape}: choose another by --env, or none by --env none."
            )
    return spaces
