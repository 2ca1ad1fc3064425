"""Runs the code of pages that need PyTorch. `make check-torch` runs this file."""

from pathlib import Path

import pytest

from tests.docs.test_code_blocks import PAGES, name, run, runnable


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.marker == "torch" for b in runnable(p))], ids=name
)
def test_code_of_page_runs_with_pytorch(page: Path, tmp_path: Path) -> None:
    run(runnable(page), tmp_path)
