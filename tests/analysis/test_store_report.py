from dataclasses import replace

import numpy as np
import pytest

from tests.episodes.store.conftest import SCHEMA, made
from troupe.analysis.store_report import write_store_report
from troupe.core import UserError
from troupe.episodes.store import StoreWriter, create_store


def test_success_over_time_and_by_place_is_drawn_if_it_is_known(tmp_path):
    store = create_store(tmp_path / "grasps", SCHEMA)
    with pytest.raises(UserError, match="has no episodes yet"):
        write_store_report(store, tmp_path / "page.html")
    rng = np.random.default_rng(0)
    with StoreWriter(store, "w", spool=tmp_path / "spool") as out:
        for number in range(80):
            x, y = rng.uniform(-1, 1, 2)
            about = {"success": bool(x > 0), "x": x, "y": y}
            out.add(replace(made(number), about=about))
    page = write_store_report(store, tmp_path / "page.html").read_text()
    assert "Success over time" in page
    assert "Success by place" in page
    assert page.count("<svg") == 2


def test_without_success_the_page_says_so(tmp_path):
    store = create_store(tmp_path / "grasps", SCHEMA)
    with StoreWriter(store, "w", spool=tmp_path / "spool") as out:
        out.add(replace(made(0), about={}))
    page = write_store_report(store, tmp_path / "page.html").read_text()
    assert "What is missing" in page
