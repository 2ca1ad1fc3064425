from pathlib import Path

import pytest

from troupe.core.files import directory_atomic, write_atomic


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    with directory_atomic(path) as aside:
        (aside / "old").touch()
        assert not path.exists()

    def fail() -> None:
        with directory_atomic(path) as aside:
            (aside / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [p.name for p in tmp_path.rglob("*")] == ["checkpoint", "old"]
