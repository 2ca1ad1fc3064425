"""SQL over a store: DuckDB reads the shards where they are.

========  =================================================================
view      a row for each
========  =================================================================
episodes  episode: id, written, and a column for each name in ``about``
draws     episode: id, and a column for each draw
steps     step: id, step, and a column for each array
images    image: id, name, step that it shows, data, encoding
========  =================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from troupe.core.errors import TroupeError, UserError, unknown
from troupe.episodes.store.manifest import Shard
from troupe.episodes.store.schema import StoreSchema
from troupe.episodes.store.table import empty_table

VIEWS = ("episodes", "steps", "draws", "images")


def check_view(name: str) -> None:
    """Check the name of a view.

    Raises:
        UserError: if there is none of it.
    """
    if name not in VIEWS:
        raise unknown("view", name, VIEWS)


def query(store: Any, sql: str) -> pa.Table:
    """Return what SQL says of a store.

    Raises:
        UserError: if it is wrong.
        TroupeError: if a shard cannot be read.
    """
    import duckdb

    shards = store.shards()
    with duckdb.connect() as connection:
        try:
            _make_views(connection, store, shards)
        except duckdb.Error as error:
            raise TroupeError(f"store '{store.url}' cannot be read: {_first(error)}") from error
        try:
            relation = connection.sql(sql)
            if relation is None:
                raise UserError("query: it returns no table; write a SELECT.")
            return relation.to_arrow_table()
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            _raise_if_corrupt(store, shards, error)
            raise UserError(f"query: {_first(error)}") from error
        except duckdb.Error as error:
            raise UserError(f"query: {_first(error)}") from error


def _make_views(connection: Any, store: Any, shards: Sequence[Shard]) -> None:
    if shards:
        if not store.files.is_local:
            connection.register_filesystem(store.files.system)
        paths = {s.manifest.name: store.files.address(s.manifest.shard) for s in shards}
        listed = ", ".join(_text(path) for path in paths.values())
        source = f"read_parquet([{listed}], union_by_name = true, filename = true)"
        repeats = [(paths[s.manifest.name], id) for s in shards for id in sorted(s.repeats)]
    else:
        connection.register("no_shards", empty_table(store.schema))
        source, repeats = "no_shards", []
    where = ""
    if repeats:
        columns = {"filename": [file for file, _ in repeats], "id": [id for _, id in repeats]}
        connection.register("repeats", pa.table(columns))
        where = " WHERE (filename, id) NOT IN (SELECT (filename, id) FROM repeats)"
    connection.execute(f"CREATE VIEW shards AS SELECT * FROM {source}{where}")
    names = [row[0] for row in connection.execute("DESCRIBE shards").fetchall()]
    for view, select in _selects(names, store.schema).items():
        connection.execute(f"CREATE VIEW {view} AS {select}")


def _selects(columns: Sequence[str], schema: StoreSchema) -> dict[str, str]:
    def named(prefix: str) -> list[str]:
        own = [name for name in columns if name.startswith(prefix)]
        return [f"{_name(name)} AS {_name(name.removeprefix(prefix))}" for name in own]

    steps = [f"unnest({_name(f'step.{n}')}) AS {_name(n)}" for n in schema.steps]
    if steps:
        first = _name(f"step.{next(iter(schema.steps))}")
        steps = [f"unnest(range(len({first}))) AS step", *steps]
    images = [
        f"SELECT id, {_text(name)} AS name, unnest({_name(f'frame.{name}')}) AS step, "
        f"unnest({_name(f'image.{name}')}) AS data, {_text(field.encoding)} AS encoding FROM shards"
        for name, field in schema.images.items()
    ]
    none = (
        "SELECT ''::VARCHAR AS id, '' AS name, 0::INTEGER AS step, ''::BLOB AS data, "
        "'' AS encoding WHERE false"
    )
    return {
        "episodes": f"SELECT {', '.join(['id', 'written', *named('about.')])} FROM shards",
        "draws": f"SELECT {', '.join(['id', *named('draw.')])} FROM shards",
        "steps": f"SELECT {', '.join(['id', *steps])} FROM shards",
        "images": " UNION ALL ".join(images) or none,
    }


def _raise_if_corrupt(store: Any, shards: Sequence[Shard], error: Exception) -> None:
    """Raise the error that names a shard, if it is one that made a query fail."""
    from troupe.episodes.store.store import shard_error

    for shard in shards:
        if shard.manifest.name in str(error):
            raise shard_error(store.url, shard.manifest.name, _first(error)) from error


def _first(error: Exception) -> str:
    return str(error).strip()


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
