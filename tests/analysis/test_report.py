import json
import re

import pytest
import yaml

from troupe.analysis.report import write_report
from troupe.analysis.runs import read_runs
from troupe.core import UserError

PNG = b"\x89PNG\r\n\x1a\n"


def plain(page):
    """The words of a page."""
    without_pictures = re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without_pictures))


def made(paths, output, price_per_hour=None):
    return write_report(read_runs(paths), output, price_per_hour).read_text()


def test_a_report_of_one_run_says_how_good_it_became(make_run, tmp_path):
    page = made([make_run("run")], tmp_path / "report.html")

    words = plain(page)
    assert "Accuracy 0.86 mm from the target on average" in words
    assert "99 of 100 within 2.40 mm" in words
    assert "Success 99 %" in words
    assert "245,760 steps" in words
    assert "Attempts 640 until 10 of 10 episodes succeeded" in words
    assert "simulated, not certified" in words
    assert "AP and RP over 5 poses, 30 cycles; noise: initial_position_rad: 0.01" in words
    assert "5 mm, the task's" in words.replace("&#x27;", "'")
    assert "learner.gamma 0.95" in words
    assert "numpy" in words
    assert "What is missing" not in words
    assert "instance hours" not in words


def test_the_published_results_stand_beside(make_run, tmp_path):
    words = plain(made([make_run("run")], tmp_path / "report.html"))

    assert "published, 3 joints, simulated, 8 workers – – – 1.37 3.57 – –" in words
    assert "published, 3 joints, real robot, best – – – 12.89 10.83 – –" in words
    assert "published, 3 joints, 1 worker – – – 10 min more than 140" in words

    mara = make_run("mara", experiment="mara-reach")
    words = plain(made([mara], tmp_path / "mara.html"))
    assert "0.075 (no unit given)" in words


def test_a_page_opens_without_network(sweep, tmp_path):
    page = made([sweep], tmp_path / "report.html", 0.134)

    assert not re.search(r"https?:|src=|//\w|@import|url\((?!#)|<script|<link", page)
    assert page.count("<svg") == 5


def test_ids_are_unique_and_refer_to_something(sweep, tmp_path):
    page = made([sweep], tmp_path / "report.html")
    ids = re.findall(r'\bid="([^"]+)"', page)
    used = re.findall(r'(?:href="|url\()#([^")]+)', page)

    assert len(ids) == len(set(ids))
    assert set(used) <= set(ids)


def test_figures_lie_beside_the_page(sweep, tmp_path):
    made([sweep], tmp_path / "out" / "all.html")

    pngs = sorted((tmp_path / "out" / "all_figures").iterdir())
    assert [path.stem for path in pngs] == ["accuracy", "error", "return", "throughput", "time"]
    assert all(path.read_bytes().startswith(PNG) for path in pngs)


def test_several_runs_show_what_differs_and_medians(sweep, tmp_path):
    words = plain(made([sweep], tmp_path / "report.html"))

    assert "4 runs: 1 worker and 4 workers. Seeds 0 and 1." in words
    assert "1 worker (2 seeds) 0.89 (0.86–0.91)" in words
    assert "fleet.workers seed" in words
    assert "workers-4-seed-1 4 1" in words
    assert "What all runs share" in words


def test_the_cost_is_told_if_there_is_a_price(make_run, tmp_path):
    path = make_run("run", workers=2)
    summary = json.loads((path / "summary.json").read_text())
    summary |= {"wall_s": 3590.0, "startup_s": 10.0}
    (path / "summary.json").write_text(json.dumps(summary))

    words = plain(made([path], tmp_path / "report.html", 10.0))

    assert "run 2.00 20.00" in words
    assert "1,603 214.80 EUR" in words


def test_a_run_that_goes_on_says_what_is_missing(make_run, tmp_path):
    path = make_run("run", updates=2, ended=False)

    words = plain(made([path], tmp_path / "report.html", 0.1))

    assert "run: no summary. It goes on or was interrupted, after 8,192 of 1,500,000" in words
    assert "run: not evaluated." in words
    assert "0 of 1 runs" in words


def test_a_run_before_its_first_update_has_a_report(make_run, tmp_path):
    path = make_run("run", ended=False)
    (path / "metrics.parquet").unlink()

    words = plain(made([path], tmp_path / "report.html", 0.1))

    assert "no update has ended yet" in words
    assert "Settings" in words


def test_a_task_without_an_error_has_a_report(make_run, tmp_path):
    path = make_run("run", error=False)
    experiment = {
        "name": "halfcheetah-v5",
        "engines": {"env": {"type": "gymnasium", "id": "HalfCheetah-v5"}},
        "task": {"type": "gymnasium", "episode": "20s"},
        "learner": {"type": "ppo"},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(experiment))

    words = plain(made([path], tmp_path / "report.html"))

    assert "Return 41.5 on average when evaluated" in words
    assert "certified" not in words
    assert "error bound" not in words
    assert "learned" not in words
    assert "succeeded" not in words
    assert [p.name for p in (tmp_path / "report_figures").iterdir()] == ["return.png"]


def test_what_learned_from_a_store_counts_gradient_steps(make_run, tmp_path):
    path = make_run("run", store="arm")
    words = plain(made([path], tmp_path / "report.html"))
    assert "245,760 gradient steps" in words
    assert "learning time gradient steps gradient steps/s" in words
    assert "mean error of the 10 deterministic test episodes first met a bound" in words
    assert "training episodes" not in words


def test_text_is_escaped(make_run, tmp_path):
    path = make_run("run", overrides=('description="<script>alert(1)</script>"',))

    page = made([path], tmp_path / "report.html")

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Some CPU &amp; more" in page


def test_a_report_is_the_same_each_time(make_run, tmp_path):
    paths = [make_run("run")]

    assert made(paths, tmp_path / "a.html") == made(paths, tmp_path / "b.html")


def test_no_runs_no_report(tmp_path):
    with pytest.raises(UserError, match="at least one run"):
        write_report([], tmp_path / "report.html")


def test_a_negative_price_is_refused_before_anything_is_written(make_run, tmp_path):
    with pytest.raises(UserError, match="price per hour: at least 0, not -1"):
        made([make_run("run")], tmp_path / "out" / "report.html", -1.0)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(make_run, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match=r"file/report\.html' cannot be written"):
        made([make_run("run")], tmp_path / "file" / "report.html")
