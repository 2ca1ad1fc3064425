"""`troupe store`, as users type it."""

import json
import re

import pytest

from tests.episodes.exchange.conftest import attempt, write
from tests.episodes.store.conftest import SCHEMA, made
from troupe.episodes.store import StoreWriter, create_store


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A store of eight episodes in four shards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = create_store(tmp_path / "grasps", SCHEMA)
    with StoreWriter(store, "w", shard_episodes=2) as out:
        for number in range(8):
            out.add(made(number))
    return str(tmp_path / "grasps")


def test_query(troupe, place):
    sql = (
        "SELECT object, avg(success::INT) AS success FROM episodes GROUP BY object ORDER BY object"
    )
    code, out, err = troupe("store", "query", place, sql, "--json")
    assert code == 0, err
    assert json.loads(out)["rows"] == [
        {"object": "box", "success": pytest.approx(1 / 3)},
        {"object": "can", "success": pytest.approx(3 / 5)},
    ]
    code, out, err = troupe("store", "query", place, sql)
    assert (code, out) == (0, "")
    assert "0.3333" in err
    code, out, err = troupe("store", "query", place, "SELECT * FROM images LIMIT 1", "--json")
    assert re.fullmatch(r"<\d+ bytes>", json.loads(out)["rows"][0]["data"])


def test_what_users_get_wrong_is_exit_code_2(troupe, place):
    code, _, err = troupe("store", "query", place, "SELECT nothing FROM episodes")
    assert (code, "nothing" in err) == (2, True)
    code, _, err = troupe("store", "verify", "no-such-store")
    assert (code, "there is no store at" in err) == (2, True)
    code, _, err = troupe("store", "retain", place)
    assert (code, "how many to keep" in err) == (2, True)
    code, _, err = troupe("store", "compact", place, "--grace", "soon")
    assert (code, "'soon' is not a duration" in err) == (2, True)


def test_verify_names_what_is_missing(troupe, place, tmp_path):
    code, out, _ = troupe("store", "verify", place, "--json")
    assert code == 0
    assert json.loads(out)["episodes"] == 8
    shard = sorted((tmp_path / "grasps" / "shards").iterdir())[1]
    shard.unlink()
    code, _, err = troupe("store", "verify", place)
    assert code == 1
    assert f"wrong: {shard.stem}: missing" in err
    code, _, err = troupe("store", "query", place, "SELECT count(*) FROM episodes")
    assert (code, shard.stem in err.replace("\n", "")) == (1, True)
    sql = "SELECT count(*) AS n FROM episodes"
    code, out, _ = troupe("store", "query", place, sql, "--skip-corrupt", "--json")
    assert code == 0
    assert json.loads(out) == {"rows": [{"n": 6}], "skipped": {shard.stem: "missing"}}


def test_compact_and_retain(troupe, place):
    code, out, err = troupe("store", "compact", place, "--json")
    assert code == 0, err
    assert (json.loads(out)["before"], json.loads(out)["after"]) == (4, 1)
    code, out, err = troupe("store", "retain", place, "--newest", "3", "--grace", "1ns", "--json")
    assert code == 0, err
    assert json.loads(out)["episodes_removed"] == 5
    code, out, err = troupe("store", "retain", place, "--younger-than", "1h")
    assert (code, "0 episodes" in err) == (0, True)
    code, out, _ = troupe("store", "verify", place, "--json")
    assert json.loads(out)["episodes"] == 3


def test_report_shows_success_by_object_and_examples(troupe, place, tmp_path):
    code, _, err = troupe("store", "report", place, "--out", "page.html")
    assert code == 0, err
    page = (tmp_path / "page.html").read_text()
    assert "<td>33.3 %</td><td>3</td>" in page
    assert "<td>60 %</td><td>5</td>" in page
    assert page.count("data:image/png;base64,") == 2 * 8
    assert page.index("Succeeded: 4") < page.index("Failed: 4")
    assert "http://" not in page
    assert "https://" not in page


def test_export_and_import(troupe, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "reach", [attempt(number) for number in range(4)])
    export = ("store", "export", "reach", "--out", "reach-v0")
    code, out, err = troupe(*export, "--to", "lerobot", "--where", "success > 0", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "place": "reach-v0",
        "episodes": 2,
        "steps": 12,
        "repeats": 0,
        "left_out": [],
        "skipped": {},
    }
    info = json.loads((tmp_path / "reach-v0" / "meta" / "info.json").read_text())
    assert info["features"]["observation.state"]["shape"] == [4]
    code, out, err = troupe("store", "import", "reach-v0", "back")
    assert (code, out, "2 episodes, 12 steps" in err) == (0, "", True)

    code, _, err = troupe(*export, "--to", "lerobot")
    assert (code, "or --force to replace it" in err.replace("\n", " ")) == (2, True)
    options = ("--force", "--images", "none", "--state", "observation,arm.grip")
    code, _, err = troupe(*export, "--to", "lerobot", *options)
    assert (code, "left out: images top.rgb" in err) == (0, True)
    info = json.loads((tmp_path / "reach-v0" / "meta" / "info.json").read_text())
    assert info["features"]["observation.state"]["shape"] == [5]

    code, _, err = troupe(*export, "--to", "rlds")
    assert (code, "unknown format 'rlds'" in err) == (2, True)
    code, _, err = troupe(*export, "--to", "minari", "--fps", "10")
    assert (code, "--fps is not for --to minari" in err) == (2, True)
    code, _, err = troupe(*export, "--to", "minari", "--env", "troupe/No-v0")
    assert (code, "--env:" in err) == (2, True)
    code, _, err = troupe("store", "export", "reach", "--to", "minari", "--out", "mine/reach-v0")
    assert (code, "4 episodes" in err) == (0, True)
    code, out, err = troupe("store", "import", "mine/reach-v0", "back", "--json")
    assert (code, json.loads(out)["repeats"]) == (0, 2), err
