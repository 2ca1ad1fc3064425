"""What was written is found again: episodes, SQL, and errors that say what is wrong."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.episodes.store.conftest import SCHEMA, assert_same, made
from troupe.core import TroupeError, UserError
from troupe.episodes.store import StoreSchema, StoreWriter, create_store, open_store, verify
from troupe.episodes.store.table import to_record


def write(store, numbers, tmp_path, writer="w", **options) -> None:
    with StoreWriter(store, writer, spool=tmp_path / "spool", **options) as out:
        for number in numbers:
            out.add(made(number))


def test_rows_are_given_one_by_one(tmp_path):
    store = create_store(tmp_path / "store", SCHEMA)
    write(store, range(7), tmp_path, shard_episodes=3)
    rows = list(store.rows({"a-2", "a-3", "a-6", "a-9"}))
    assert [row["id"].to_pylist() for row in rows] == [["a-2"], ["a-3"], ["a-6"]]
    assert_same(to_record(rows[1], store.schema), made(3))
    # two writers with the same episode: it is given once
    write(store, [2, 7], tmp_path, writer="v")
    assert [row["id"][0].as_py() for row in store.rows()].count("a-2") == 1


def test_episodes_come_back_exactly_from_any_storage(url, tmp_path):
    write(create_store(url, SCHEMA), range(7), tmp_path, shard_episodes=3)
    store = open_store(url)
    assert store.episode_ids() == [f"a-{number}" for number in range(7)]
    for number in (0, 4, 6):
        assert_same(store.episode(f"a-{number}"), made(number))
    by_object = store.query(
        "SELECT object, count(*) AS n, sum(mass) AS mass FROM episodes JOIN draws USING (id) "
        "GROUP BY object ORDER BY object"
    )
    assert by_object.to_pydict()["n"] == [3, 4]
    assert by_object.to_pydict()["mass"] == pytest.approx([0.9, 1.2])
    steps = store.query("SELECT id, step, action, reward FROM steps WHERE reward >= 9 ORDER BY ALL")
    assert steps["id"].to_pylist() == ["a-5", "a-6", "a-6"]
    assert steps["step"].to_pylist() == [4, 3, 4]
    np.testing.assert_array_equal(steps["action"][2].as_py(), made(6).steps["action"][4])
    images = store.to_arrow("images")
    assert len(images) == 7 * 3 * 2
    assert set(images["encoding"].to_pylist()) == {"png", "planes"}
    found = verify(store)
    assert (found.shards, found.episodes, found.steps, found.images) == (3, 7, 35, 42)
    assert not found.wrong


def test_a_store_is_seen_while_it_grows(local, tmp_path):
    reader = open_store(local.url)
    assert len(reader.episodes()) == 0
    assert reader.query("SELECT count(*) AS n FROM steps")["n"].to_pylist() == [0]
    write(local, range(2), tmp_path)
    assert reader.num_episodes == 2
    write(local, range(2, 5), tmp_path, writer="other")
    assert len(reader.episodes()) == 5


def test_ids_are_of_those_that_fulfil_a_condition(local, tmp_path):
    with pytest.raises(UserError, match="is empty"):
        local.ids()
    write(local, (3, 1, 2), tmp_path)
    ids = sorted(made(number).id for number in (1, 2, 3))
    assert local.ids() == ids
    assert local.ids(f"id = '{ids[1]}' OR id = '{ids[0]}' -- two of them") == ids[:2]
    with pytest.raises(UserError, match=r"none of the 3 episodes of store .* is where id = 'no'"):
        local.ids("id = 'no'")
    for wrong, text in {"nmber > 1": "nmber", " ": "condition is empty"}.items():
        with pytest.raises(UserError, match=text):
            local.ids(wrong)


def test_names_may_come_later_and_numbers_may_turn_out_to_have_fractions(local, tmp_path):
    early = replace(made(0), about={"grade": 1})
    late = replace(made(1), about={"grade": 0.5, "operator": "O'Hara"})
    for writer, record in (("early", early), ("late", late)):
        with StoreWriter(local, writer, spool=tmp_path / "spool") as out:
            out.add(record)
    table = local.query("SELECT id, grade, operator FROM episodes ORDER BY id")
    assert table.to_pydict() == {
        "id": ["a-0", "a-1"],
        "grade": [1.0, 0.5],
        "operator": [None, "O'Hara"],
    }
    assert local.to_pandas()["grade"].sum() == 1.5


def test_another_schema_is_refused_and_nothing_is_written(url):
    create_store(url, SCHEMA)
    before = open_store(url).files.read("store.json")
    wider = replace(made(0), steps={**made(0).steps, "action": np.zeros((5, 4), np.float32)})
    with pytest.raises(UserError, match=r"steps.action: float32 \(3,\) here, float32 \(4,\) given"):
        create_store(url, StoreSchema.of(wider))
    assert open_store(url).files.read("store.json") == before
    assert create_store(url, SCHEMA).schema == SCHEMA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": {"action": made(0).steps["action"]}}, "step array 'reward' is missing"),
        (
            {"steps": {**made(0).steps, "reward": np.zeros(5)}},
            r"reward is float64 of \(\), in this store float32 of \(\)",
        ),
        (
            {"steps": {**made(0).steps, "reward": np.zeros(4, np.float32)}},
            "different lengths: action 5, reward 4",
        ),
        ({"images": {**made(0).images, "side.rgb": np.zeros(1)}}, "unknown image 'side.rgb'"),
        ({"frames": {**made(0).frames, "top.rgb": np.array([0])}}, "2 images, but 1 frames"),
        ({"about": {"id": 3}}, "this name is the store's own"),
        ({"about": {"log": {}}}, "about.log: a number or text"),
    ],
)
def test_an_episode_that_does_not_fit_is_refused(change, message, local, tmp_path):
    with StoreWriter(local, "w", spool=tmp_path / "spool") as out:
        with pytest.raises(UserError, match=message):
            out.add(replace(made(0), **change))
        out.add(made(0))
    assert local.episode_ids() == ["a-0"]


def test_errors_of_users_name_what_is_valid(local, tmp_path):
    write(local, range(2), tmp_path)
    with pytest.raises(UserError, match="there is no store at"):
        open_store(tmp_path / "nothing")
    with pytest.raises(UserError, match="unknown protocol 's4'"):
        open_store("s4://bucket/store")
    with pytest.raises(UserError, match="successs"):
        local.query("SELECT successs FROM episodes")
    with pytest.raises(UserError, match="syntax error"):
        local.query("SELEC")
    with pytest.raises(UserError, match=r"unknown view 'episode'\. Did you mean 'episodes'"):
        local.to_arrow("episode")
    with pytest.raises(UserError, match="has no episode 'a-9'"):
        local.episode("a-9")
    with pytest.raises(UserError, match="writer 'a/b'"):
        StoreWriter(local, "a/b", spool=tmp_path / "spool")
    (tmp_path / "store" / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="has format 99"):
        open_store(local.url)


def test_pandas_that_is_not_there_is_named(local, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        local.to_pandas()


def corrupt(store, tmp_path, how):
    """Damage the second of three shards and return its name."""
    write(store, range(6), tmp_path, shard_episodes=2)
    name = store.shards()[1].manifest.name
    file = tmp_path / "store" / "shards" / f"{name}.parquet"
    content = bytearray(file.read_bytes())
    if how == "manifest":
        manifest = tmp_path / "store" / "manifests" / f"{name}.json"
        manifest.write_bytes(manifest.read_bytes()[:-100])
    elif how == "missing":
        file.unlink()
    elif how == "short":
        file.write_bytes(content[:-100])
    else:
        # in the first column's data: ids, which every reader reads
        content[len(b"PAR1") + 40] ^= 0xFF
        file.write_bytes(content)
    return name


@pytest.mark.parametrize("how", ["missing", "short", "flipped", "manifest"])
def test_a_corrupt_shard_is_named_and_left_out_only_if_asked(how, local, tmp_path):
    name = corrupt(local, tmp_path, how)
    found = verify(open_store(local.url))
    assert list(found.wrong) == [name]
    reader = open_store(local.url)
    with pytest.raises(TroupeError, match=rf"{name}('|\.json) cannot be read: ") as failure:
        list(reader.iter_batches(["id", "step.reward"], 100))
    assert failure.value.exit_code == 1
    with pytest.raises(TroupeError, match=name):
        reader.episode("a-2")
    if how != "flipped":
        with pytest.raises(TroupeError, match=name):
            reader.query("SELECT * FROM episodes")
    rest = open_store(local.url, skip_corrupt=True)
    assert list(rest.skipped) == [name]
    assert rest.query("SELECT id FROM steps GROUP BY id ORDER BY id")["id"].to_pylist() == [
        "a-0",
        "a-1",
        "a-4",
        "a-5",
    ]
    (batch,) = rest.iter_batches(["about.seed"], 10)
    assert batch["about.seed"].tolist() == [0, 1, 4, 5]
