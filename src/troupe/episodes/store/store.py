"""A store: episodes in shared storage, written by many, read by anyone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from troupe.core.errors import TroupeError, UserError
from troupe.episodes.file_systems import described
from troupe.episodes.store.files import StoreFiles
from troupe.episodes.store.manifest import Manifest, Shard, live_shards, manifest_file, shard_file
from troupe.episodes.store.record import EpisodeRecord
from troupe.episodes.store.schema import StoreSchema
from troupe.episodes.store.table import to_record

if TYPE_CHECKING:
    from troupe.episodes.store.torch_data import EpisodeDataset

FORMAT = 1
ABOUT = "store.json"
MISSING_TRIES = 3


class Store:
    """What `create_store` and `open_store` return.

    Attributes:
        url: without a password.
        schema: of all its episodes.
        files: of the store.
        skipped: names of corrupt or missing shards, and of manifests that cannot be read, that are
            left out, with the reason.
    """

    def __init__(self, files: StoreFiles, schema: StoreSchema) -> None:
        self.files = files
        self.url = files.url
        self.schema = schema
        self.skipped: dict[str, str] = {}
        self._manifests: dict[str, Manifest] = {}

    def manifests(self) -> list[Manifest]:
        """Return all manifests there are now, by name.

        Raises:
            TroupeError: if one cannot be read, or is of another schema, unless it is skipped.
        """
        manifests, damaged = self.readable_manifests()
        for name, reason in damaged.items():
            if name not in self.skipped:
                raise TroupeError(
                    f"store '{self.url}': {manifest_file(name)} cannot be read: {reason}."
                )
        return manifests

    def readable_manifests(self) -> tuple[list[Manifest], dict[str, str]]:
        """Return all manifests that can be read, by name, and why others cannot."""
        names: list[str] = []
        damaged: dict[str, str] = {}
        for _ in range(MISSING_TRIES):
            names = [n.removesuffix(".json") for n in self.files.sizes("manifests")]
            unread = [name for name in names if name not in self._manifests]
            contents = self.files.read_many([manifest_file(name) for name in unread])
            for name, content in zip(unread, contents.values(), strict=True):
                if content is not None:
                    self._parse(name, content, damaged)
            if all(content is not None for content in contents.values()):
                break  # otherwise one was removed since it was listed: list again
        self._manifests = {n: m for n, m in self._manifests.items() if n in names}
        return sorted(self._manifests.values(), key=lambda m: m.name), damaged

    def shards(self) -> list[Shard]:
        """Return the shards that count now, by name, each episode in exactly one of them.

        Raises:
            TroupeError: if a shard is missing or has not its size, naming it.
        """
        for attempt in range(MISSING_TRIES):
            shards = [
                s for s in live_shards(self.manifests()) if s.manifest.name not in self.skipped
            ]
            sizes = self.files.sizes("shards")
            wrong = [
                s for s in shards if sizes.get(f"{s.manifest.name}.parquet") != s.manifest.num_bytes
            ]
            if not wrong:
                return shards
            if attempt < MISSING_TRIES - 1:
                continue  # it may have been replaced since
            name = wrong[0].manifest.name
            found = sizes.get(f"{name}.parquet")
            what = (
                "missing" if found is None else f"{found} bytes, not {wrong[0].manifest.num_bytes}"
            )
            raise shard_error(self.url, name, what)
        raise AssertionError

    def skip_corrupt(self) -> None:
        """Leave out corrupt and missing shards from now on; `skipped` names them."""
        from troupe.episodes.store.verify import verify

        self.skipped = verify(self).wrong

    @property
    def num_episodes(self) -> int:
        """How many there are now."""
        return sum(len(shard.episodes) for shard in self.shards())

    def episode_ids(self) -> list[str]:
        """Return the ids of all episodes."""
        return [id for shard in self.shards() for id in shard.episodes]

    def ids(self, where: str | None = None) -> list[str]:
        """Return the ids of the episodes that fulfil a condition, ascending.

        Args:
            where: in SQL on the columns of the view ``episodes``; None for all episodes.

        Raises:
            UserError: if the condition is wrong, or no episode fulfils it.
            TroupeError: if a shard is missing or cannot be read.
        """
        if where is not None and not where.strip():
            raise UserError("the condition is empty.")
        # of lines of its own, so that it may end in a comment
        condition = "" if where is None else f" WHERE (\n{where}\n)"
        found = self.query(f"SELECT id FROM episodes{condition} ORDER BY id")
        ids: list[str] = found["id"].to_pylist()
        if not ids:
            raise UserError(
                f"store '{self.url}' is empty."
                if where is None
                else f"none of the {self.num_episodes} episodes of store '{self.url}' is where "
                f"{where}."
            )
        return ids

    def query(self, sql: str) -> pa.Table:
        """Return what SQL (DuckDB's) says of the views episodes, steps, draws and images.

        Raises:
            UserError: if the SQL is wrong.
            TroupeError: if a shard is missing or cannot be read.
        """
        from troupe.episodes.store.views import query

        return query(self, sql)

    def to_arrow(self, view: str = "episodes") -> pa.Table:
        """Return all of a view.

        Raises:
            UserError: if there is no such view.
        """
        from troupe.episodes.store.views import check_view

        check_view(view)
        return self.query(f"SELECT * FROM {view}")

    def episodes(self) -> pa.Table:
        """Return a row an episode: id, when it was written, and all of ``about``."""
        return self.to_arrow("episodes")

    def to_pandas(self, view: str = "episodes") -> Any:
        """Return all of a view as a DataFrame.

        Raises:
            UserError: if there is no such view, or pandas is not installed.
        """
        if find_spec("pandas") is None:
            raise UserError("pandas is not installed: pip install pandas.")
        return self.to_arrow(view).to_pandas()

    def iter_batches(
        self, columns: Sequence[str], batch_size: int
    ) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Return batches in the order of the store; see `loader.batches`."""
        from troupe.episodes.store.loader import batches

        return batches(self, columns, batch_size, seed=None)

    def torch_dataset(
        self, columns: Sequence[str], batch_size: int, **options: Any
    ) -> EpisodeDataset:
        """Return a dataset of PyTorch that gives batches; see `torch_data.EpisodeDataset`.

        Raises:
            UserError: if PyTorch is not installed, or anything is wrong with what was given.
        """
        try:
            from troupe.episodes.store.torch_data import EpisodeDataset
        except ImportError as error:
            raise UserError("PyTorch is not installed: pip install torch.") from error
        return EpisodeDataset(self, columns, batch_size, **options)

    def episode(self, id: str) -> EpisodeRecord:
        """Return an episode, its images decoded.

        Raises:
            UserError: if there is none of that id.
            TroupeError: if its shard cannot be read.
        """
        for shard in self.shards():
            if id in shard.manifest.episodes and id not in shard.repeats:
                row = shard.manifest.episodes.index(id)
                return to_record(self._row(shard.manifest.name, row), self.schema)
        raise UserError(f"store '{self.url}' has no episode '{id}'.")

    def rows(self, ids: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Give episodes as tables of one row, in the order of the store.

        One row group is in memory at a time.

        Args:
            ids: of the episodes; None for all.

        Raises:
            TroupeError: if a shard cannot be read.
        """
        for shard in self.shards():
            wanted = [id for id in shard.episodes if ids is None or id in ids]
            if wanted:
                yield from self._shard_rows(shard, frozenset(wanted))

    @contextmanager
    def parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        """Give a shard, open; its pages' checksums are verified as they are read.

        Raises:
            TroupeError: if it cannot be read.
        """
        with ExitStack() as stack:
            try:
                file = stack.enter_context(self.files.open(shard_file(name)))
                shard = pq.ParquetFile(file, page_checksum_verification=True)
            except Exception as error:  # of any kind: each file system has its own
                raise shard_error(self.url, name, described(error)) from error
            yield shard

    def read_group(
        self, shard: pq.ParquetFile, name: str, group: int, columns: list[str]
    ) -> pa.Table:
        """Return columns of a row group.

        Raises:
            TroupeError: if it cannot be read.
        """
        try:
            return shard.read_row_group(group, columns)
        except Exception as error:  # of any kind: each file system has its own
            raise shard_error(self.url, name, described(error)) from error

    def _shard_rows(self, shard: Shard, wanted: frozenset[str]) -> Iterator[pa.Table]:
        name, first = shard.manifest.name, 0
        with self.parquet(name) as file:
            for group, num_rows in enumerate(shard.manifest.groups):
                there = shard.manifest.episodes[first : first + num_rows]
                first += num_rows
                if wanted.isdisjoint(there):
                    continue
                table = self.read_group(file, name, group, file.schema_arrow.names)
                for row, id in enumerate(there):
                    if id in wanted:
                        yield table.slice(row, 1).combine_chunks()

    def _row(self, name: str, row: int) -> pa.Table:
        with self.parquet(name) as shard:
            for group in range(shard.num_row_groups):
                num_rows = shard.metadata.row_group(group).num_rows
                if row < num_rows:
                    whole = self.read_group(shard, name, group, shard.schema_arrow.names)
                    return whole.slice(row, 1).combine_chunks()
                row -= num_rows
        raise shard_error(self.url, name, "fewer rows than its manifest says")

    def _parse(self, name: str, content: bytes, damaged: dict[str, str]) -> None:
        """Keep a manifest, or say why it cannot be read."""
        try:
            manifest = Manifest.from_bytes(content)
        except ValueError as error:
            damaged[name] = f"its manifest is damaged: {error}"
            return
        if manifest.schema == self.schema.digest:
            self._manifests[manifest.name] = manifest
        else:
            damaged[name] = f"it is of another schema than {ABOUT}"


def create_store(url: str | Path, schema: StoreSchema, created_by: str = "") -> Store:
    """Return the store at a URL, made if there is none; any number of writers may do so at once.

    Args:
        url: a path or any URL that fsspec knows, e.g. "s3://bucket/grasps".
        schema: of the episodes to come.
        created_by: what is said of its origin.

    Raises:
        UserError: if it cannot be written, or there is one of another schema; nothing is written.
    """
    files = StoreFiles(url)
    about = {
        "format": FORMAT,
        "created_by": created_by or "troupe",
        "schema": schema.to_json(),
    }
    try:
        if not _exists(files):
            files.put_new(ABOUT, (json.dumps(about, indent=2) + "\n").encode())
    except Exception as error:  # of any kind: each file system has its own
        raise UserError(f"store '{files.url}' cannot be written: {described(error)}.") from error
    store = open_store(url)
    difference = store.schema.difference(schema)
    if difference:
        raise UserError(f"store '{files.url}' has another schema: {difference}.")
    return store


def open_store(url: str | Path, *, skip_corrupt: bool = False) -> Store:
    """Return the store at a URL, to read.

    Args:
        url: a path or URL.
        skip_corrupt: whether to leave out shards that are missing or whose checksum is wrong; all
            are read first to know.

    Raises:
        UserError: if there is none.
    """
    files = StoreFiles(url)
    try:
        content = json.loads(files.read(ABOUT))
        if content["format"] != FORMAT:
            raise UserError(
                f"store '{files.url}' has format {content['format']}; this Troupe reads {FORMAT}."
            )
        schema = StoreSchema.from_json(content["schema"])
    except FileNotFoundError as error:
        raise UserError(f"there is no store at '{files.url}': no {ABOUT}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"store '{files.url}': {ABOUT} cannot be read: {error}.") from error
    except UserError:
        raise
    except Exception as error:  # of any kind: each file system has its own
        raise UserError(f"store '{files.url}' cannot be read: {described(error)}.") from error
    store = Store(files, schema)
    if skip_corrupt:
        store.skip_corrupt()
    return store


def shard_error(url: str, name: str, what: str) -> TroupeError:
    """Return the error for a shard that cannot be read."""
    return TroupeError(
        f"store '{url}': shard '{name}' cannot be read: {what}. `troupe store verify` tells all "
        "such shards; readers leave them out only if asked."
    )


def _exists(files: StoreFiles) -> bool:
    try:
        files.read(ABOUT)
    except FileNotFoundError:
        return False
    return True
