import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.episodes.store.conftest import SCHEMA, made
from troupe.analysis.store_figures import numbers, over_numbers
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
            about = {"success": bool(x > 0.5), "x": x, "y": y, "slip": y if x > 0.5 else 0.0}
            draws = {"kinds": "mug,box" if number % 4 else "box", "masses": [x] * (number % 9)}
            out.add(replace(made(number), about=about, draws=draws))
    page = write_store_report(store, tmp_path / "page.html").read_text()
    assert "Success over time" in page
    assert "Success by place" in page
    assert "Success over what differs" in page
    assert page.count("<svg") == 3
    # every episode has a box, and 60 have a mug
    assert re.search(r"box</th><td>[^<]*</td><td>80<", page)
    assert re.search(r"mug</th><td>[^<]*</td><td>60<", page)


def test_curves_are_of_numbers_that_do_not_only_follow_from_success():
    success = np.tile([0.0, 1.0], 40)
    place = np.linspace(-1, 1, 80)
    columns = {"x": place, "return": success, "slip": place * success, "masses": [[0.5]] * 80}
    assert list(numbers(pa.table(columns))) == ["x"]
    columns["masses"] = [[value / 8] * (number % 9) for number, value in enumerate(place)]
    found = numbers(pa.table(columns))
    assert list(found) == ["x", "masses: how many", "masses: mean"]
    assert found["masses: how many"].tolist() == [number % 9 for number in range(80)]
    assert len(list(over_numbers(pa.table(columns), success))) == 1


def test_without_success_the_page_says_so(tmp_path):
    store = create_store(tmp_path / "grasps", SCHEMA)
    with StoreWriter(store, "w", spool=tmp_path / "spool") as out:
        out.add(replace(made(0), about={}))
    page = write_store_report(store, tmp_path / "page.html").read_text()
    assert "What is missing" in page
