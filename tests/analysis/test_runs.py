import json

import numpy as np
import pytest

from troupe.analysis.runs import find_runs, read_run, read_runs, run_names
from troupe.core import UserError


def test_a_run_is_read_whole(make_run):
    run = read_run(make_run("run", seed=3, workers=2))

    assert run.experiment.name == "scara-reach"
    assert run.experiment.seed == 3
    assert run.experiment.fleet.workers == 2
    assert run.provenance["host"] == "bench-1"
    assert run.num_updates == 60
    np.testing.assert_array_equal(run.metrics["steps"], 4096 * np.arange(1, 61))
    assert run.summary["updates"] == 60
    assert run.evaluation["accuracy_mm"]["mean"] == pytest.approx(1.01)


def test_a_run_that_goes_on_has_no_summary_and_no_evaluation(make_run):
    run = read_run(make_run("run", updates=2, ended=False))

    assert run.summary is None
    assert run.evaluation is None
    assert run.total("steps") == 8192


def test_a_run_before_its_first_update_has_no_metrics(make_run):
    path = make_run("run", ended=False)
    (path / "metrics.parquet").unlink()

    run = read_run(path)

    assert run.num_updates == 0
    assert run.last("mean_return") is None


def test_the_newest_evaluation_counts(make_run):
    path = make_run("run")
    (path / "evaluation.json").write_text(json.dumps({"episodes": 7}))
    assert read_run(path).evaluation == {"episodes": 7}

    (path / "evaluation.json").unlink()
    assert read_run(path).evaluation["episodes"] == 100


def test_the_newest_number_of_a_metric_skips_what_is_not_known(make_run):
    columns = {"mean_return": [1.0, 2.0, np.nan]}

    assert read_run(make_run("run", updates=3, columns=columns)).last("mean_return") == 2.0


def test_what_is_no_run_names_the_missing_file(make_run):
    path = make_run("run")
    (path / "provenance.json").unlink()

    with pytest.raises(UserError, match=r"run'.*provenance\.json missing"):
        find_runs([path])
    with pytest.raises(UserError, match=r"provenance\.json missing"):
        read_run(path)


def test_an_empty_directory_names_all_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml and provenance\.json missing"):
        read_run(tmp_path)


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere'.*no such directory"):
        find_runs([tmp_path / "nowhere"])


def test_a_sweep_gives_its_runs_in_natural_order_and_each_once(make_run, tmp_path):
    for name in ("seed-10", "seed-2", "seed-1"):
        make_run(f"sweep/{name}", updates=1)
    (tmp_path / "sweep" / "report_figures").mkdir()

    found = find_runs([tmp_path / "sweep", tmp_path / "sweep" / "seed-2"])

    assert [path.name for path in found] == ["seed-1", "seed-2", "seed-10"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.yaml", "config.yaml"),
        ("provenance.json", "not valid JSON"),
        ("summary.json", "not valid JSON"),
        ("metrics.parquet", "not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_named(make_run, name, message):
    path = make_run("run")
    (path / name).write_text("{")

    with pytest.raises(UserError, match=message) as raised:
        read_run(path)
    assert name in str(raised.value)


def test_a_setting_that_does_not_exist_is_named_with_its_file(make_run):
    path = make_run("run")
    with (path / "config.yaml").open("a") as config:
        config.write("speed: 3\n")

    with pytest.raises(UserError, match=r"config\.yaml: unknown key 'speed'"):
        read_run(path)


def test_names_are_whole_paths_where_directories_have_the_same_name(make_run):
    paths = [make_run("a/run"), make_run("b/run"), make_run("b/other")]

    assert run_names(read_runs(paths[1:])) == ["run", "other"]
    assert run_names(read_runs(paths)) == [str(path) for path in paths]
