"""What waits on this machine."""

import pytest

from tests.episodes.store.conftest import SCHEMA, made
from troupe.episodes.store.shard import make_shard
from troupe.episodes.store.spool import LOCK, Spool
from troupe.episodes.store.table import encode_images, to_table


def test_a_shard_whose_manifest_has_no_room_is_not_left_there_either(tmp_path):
    table = to_table([made(0)], [encode_images(made(0), SCHEMA)], SCHEMA)
    manifest, content = make_shard(table, SCHEMA, "w", 0)
    spool = Spool(tmp_path, "memory://store", 2**20)
    in_the_way = spool.path / f"{manifest.name}.json"
    in_the_way.mkdir()
    with pytest.raises(IsADirectoryError):
        spool.add(manifest, content)
    in_the_way.rmdir()
    assert [file.name for file in spool.path.iterdir()] == [LOCK]
    spool.add(manifest, content)
    assert spool.waiting() == [manifest]
    spool.close()
