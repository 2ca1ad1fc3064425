"""What a store knows of its episodes and another format has no place for.

It lies in a folder beside the data: ``origin.json`` says what the data were made from,
``episodes-00000.parquet`` … hold a row an episode, in the order of the data set, as a shard does:
``about``, ``draws`` and the images that belong to no step; ``experiments/`` the descriptions by
which episodes can be run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from troupe.core.errors import UserError
from troupe.episodes.store import EpisodeRecord, Store, StoreSchema
from troupe.episodes.store.manifest import experiment_file
from troupe.episodes.store.table import encode_images, to_record, to_table

FORMAT = 1
ABOUT = "origin.json"
FILE_EPISODES = 256


class OriginWriter:
    """Writes the folder."""

    def __init__(self, folder: Path, schema: StoreSchema) -> None:
        """Make the folder.

        Args:
            folder: that is made.
            schema: of the records that are added.
        """
        folder.mkdir(parents=True)
        self._folder, self._schema = folder, schema
        self._records: list[EpisodeRecord] = []
        self._num_files = 0

    def add(self, record: EpisodeRecord) -> None:
        """Add the next episode's part."""
        self._records.append(record)
        if len(self._records) >= FILE_EPISODES:
            self._write()

    def close(self, store: Store, configs: Sequence[str], layout: Mapping[str, Any]) -> None:
        """Write the rest.

        Args:
            store: that the episodes are from.
            configs: names of the experiments that the store keeps of them.
            layout: how the data set holds the steps, for its import.
        """
        self._write()
        (self._folder / "experiments").mkdir()
        found = store.files.read_many([experiment_file(name) for name in configs])
        for file, content in found.items():
            if content is not None:  # a store that was imported need not have them
                (self._folder / file).write_bytes(content)
        about = {
            "format": FORMAT,
            "store": store.url,
            "schema": store.schema.to_json(),
            "aside": self._schema.to_json(),
            "layout": dict(layout),
        }
        (self._folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n")

    def _write(self) -> None:
        if not self._records:
            return
        images = [encode_images(record, self._schema) for record in self._records]
        table = to_table(self._records, images, self._schema)
        file = self._folder / f"episodes-{self._num_files:05d}.parquet"
        pq.write_table(table, file, compression="zstd")
        self._records, self._num_files = [], self._num_files + 1


class Origin:
    """The folder, to read.

    Attributes:
        schema: of the store that the data are from.
        layout: how the data set holds the steps.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is said of all episodes.

        Raises:
            UserError: if it is of another version.
        """
        self._folder = folder
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] != FORMAT:
            raise UserError(
                f"'{folder / ABOUT}' has format {about['format']}; this Troupe reads {FORMAT}."
            )
        self.schema = StoreSchema.from_json(about["schema"])
        self.layout: dict[str, Any] = about["layout"]
        self._aside = StoreSchema.from_json(about["aside"])

    def records(self) -> Iterator[EpisodeRecord]:
        """Give the episodes' parts in the order of the data set."""
        for file in sorted(self._folder.glob("episodes-*.parquet")):
            table = pq.read_table(file)
            for row in range(len(table)):
                yield to_record(table.slice(row, 1).combine_chunks(), self._aside)

    def keep_experiments(self, store: Store) -> None:
        """Give a store the experiments, where it has them not yet."""
        for file in sorted((self._folder / "experiments").glob("*.json")):
            store.files.put_new(experiment_file(file.stem), file.read_bytes())


def open_origin(folder: Path) -> Origin | None:
    """Return the folder of a data set that we have exported; None of one from elsewhere.

    Raises:
        UserError: if it is of another version.
    """
    return Origin(folder) if (folder / ABOUT).is_file() else None
