import json

import numpy as np
import pytest

from troupe.analysis.compare import compare, first_difference
from troupe.analysis.runs import read_run, read_runs


def test_the_same_seed_with_other_workers_has_equal_curves(make_run):
    runs = read_runs([make_run("one", workers=1), make_run("four", workers=4)])

    found = compare(runs)

    assert found.equal_curves
    assert [row.differs_at for row in found.rows] == [None, None]
    assert found.rows[0].wall_s != found.rows[1].wall_s


def test_one_bit_makes_curves_differ_from_there(make_run):
    first = make_run("a")
    returns = read_run(first).metrics["mean_return"].copy()
    returns[41] = np.nextafter(returns[41], np.inf)

    found = compare(read_runs([first, make_run("b", columns={"mean_return": returns})]))

    assert not found.equal_curves
    assert found.rows[0].differs_at is None
    assert found.rows[1].differs_at == 42


def test_a_shorter_run_is_equal_as_far_as_it_goes_but_not_whole(make_run):
    whole = make_run("whole")
    cut = {name: column[:10] for name, column in read_run(whole).metrics.items()}

    found = compare(read_runs([whole, make_run("cut", ended=False, columns=cut)]))

    assert found.rows[1].differs_at is None
    assert found.rows[1].updates == 10
    assert not found.equal_curves


def test_a_figure_that_only_one_run_has_is_a_difference(make_run):
    first, second = read_runs([make_run("a"), make_run("b", error=False)])

    assert first_difference(first, second) == 1


def test_a_row_tells_the_run_and_what_is_set_otherwise(make_run):
    paths = [
        make_run("a", seed=1, workers=2),
        make_run("b", seed=1, overrides=("learner.gamma=0.9", "wall_time=1min")),
    ]
    first, second = compare(read_runs(paths)).rows

    assert (first.name, first.experiment) == ("a", "scara-reach")
    assert (first.seed, first.workers, first.steps) == (1, 2, 60 * 4096)
    assert first.accuracy_mean_mm == pytest.approx(0.91)
    assert first.accuracy_p99_mm == 2.5
    assert first.success_rate == 0.99
    assert first.learned_attempts == 650
    assert first.mean_return == 42.5
    assert first.settings == {"learner.gamma": "0.95", "wall_time": "default"}
    assert second.settings == {"learner.gamma": "0.9", "wall_time": "1min"}


def test_what_a_run_has_not_got_is_none(make_run):
    path = make_run("run", updates=3, ended=False)
    (row,) = compare([read_run(path)]).rows

    assert row.accuracy_mean_mm is None
    assert row.success_rate is None
    assert row.learned_attempts is None
    assert row.steps == 3 * 4096
    assert row.steps_per_s == pytest.approx(row.steps / row.wall_s)


def test_a_task_that_was_not_learned_has_no_attempts(make_run):
    path = make_run("run")
    summary = json.loads((path / "summary.json").read_text()) | {"learned": None}
    (path / "summary.json").write_text(json.dumps(summary))

    assert compare([read_run(path)]).rows[0].learned_attempts is None
