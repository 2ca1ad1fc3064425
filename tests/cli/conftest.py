from collections.abc import Callable

import pytest

from troupe.cli.main import main


@pytest.fixture
def troupe(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in an empty folder; return exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["troupe", *words])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run
