"""Python files of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from troupe.core.errors import UserError
from troupe.core.user_code import load_file


def experiment(folder: Path, constant: int) -> Path:
    """Write a file that imports another one of its folder."""
    folder.mkdir()
    (folder / "shared_helpers.py").write_text(f"CONSTANT = {constant}\n")
    path = folder / "network.py"
    path.write_text("from shared_helpers import CONSTANT\n")
    return path


def test_two_experiments_have_helpers_of_the_same_name(tmp_path: Path) -> None:
    first, second = experiment(tmp_path / "first", 1), experiment(tmp_path / "second", 2)
    assert [load_file(path, "file").CONSTANT for path in (first, second, first)] == [1, 2, 1]


def test_helpers_of_one_folder_are_executed_once(tmp_path: Path) -> None:
    path = experiment(tmp_path / "once", 3)
    (tmp_path / "once" / "shared_helpers.py").write_text("CONSTANT = object()\n")
    assert load_file(path, "file").CONSTANT is load_file(path, "file").CONSTANT


def test_an_error_shows_the_users_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("numbers = []\nnumbers[3]\n")
    with pytest.raises(UserError) as caught:
        load_file(path, "engines.brain.file")
    message = str(caught.value)
    assert message.startswith(f"engines.brain.file: '{path}' raised:")
    assert "numbers[3]" in message
    assert "user_code.py" not in message
