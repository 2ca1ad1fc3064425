import numpy as np
import pytest

from troupe.analysis.bars import accuracy_bars, throughput_by_workers, time_by_workers
from troupe.analysis.groups import group_runs
from troupe.analysis.lines import error_curves, return_curves
from troupe.analysis.runs import read_runs


@pytest.fixture
def groups(sweep):
    return group_runs(read_runs([sweep]))


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_error_is_in_mm_on_a_logarithmic_axis_against_time_steps_and_attempts(groups):
    figure = error_curves(groups)

    assert [axes.get_xlabel() for axes in figure.axes] == [
        "learning time (s)",
        "steps",
        "attempts (episodes begun)",
    ]
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    assert legend(figure) == ["1 worker", "4 workers"]
    shown_mm = figure.axes[1].lines[0].get_ydata()
    errors_m = [run.metrics["error_m"] for run in groups[0].runs]
    assert shown_mm[-1] == pytest.approx(1000 * np.median(errors_m, axis=0)[-1])


def test_axes_say_what_kind_of_steps_and_episodes(make_run):
    paths = [make_run("stored", store="arm"), make_run("sampled", seed=1, workers=1)]
    learned, _ = groups = group_runs(read_runs(paths))
    first, second, _ = return_curves([learned]).axes
    assert first.get_ylabel() == "mean return of the\n10 test episodes"
    assert second.get_xlabel() == "gradient steps"
    first, second, _ = return_curves(groups).axes
    assert first.get_ylabel() == "mean return of the\nlast 100 or 10 test episodes"
    assert second.get_xlabel() == "steps or gradient steps"


def test_equal_curves_are_striped_and_others_are_not(groups):
    by_time, by_steps, _ = return_curves(groups).axes

    assert [line.get_linestyle() for line in by_time.lines] == ["-", "-"]
    assert [line.get_linestyle() for line in by_steps.lines] == ["--", "--"]
    assert len(by_time.collections) == 2
    assert len(by_steps.collections) == 1


def test_accuracy_stands_beside_the_published(groups):
    left, right = accuracy_bars(groups).axes

    labels = ["1 worker", "4 workers", "published, 1 worker", "published, 8 workers"]
    assert [tick.get_text() for tick in left.get_yticklabels()] == labels
    assert [bar.get_width() for bar in left.patches] == pytest.approx([0.985, 0.985, 2.80, 1.37])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0.32, 0.32, 4.52, 3.57])


def test_time_by_workers_stands_beside_the_published(groups):
    figure = time_by_workers(groups)

    assert legend(figure) == ["until learned", "whole run", "published, 3 joints (Gazebo)"]
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "4", "8"]


def test_throughput_is_shown_for_several_numbers_of_workers(groups):
    assert throughput_by_workers(groups) is not None
    assert throughput_by_workers(groups[:1]) is None


def test_runs_without_data_have_no_figures(make_run):
    groups = group_runs(read_runs([make_run("run", ended=False, updates=1, error=False)]))

    assert error_curves(groups) is None
    assert return_curves(groups) is None
    assert accuracy_bars(groups) is None
