import pytest

from troupe.analysis.cost import instance_hours, run_cost
from troupe.analysis.published import COST_EUR, EUR_PER_INSTANCE_HOUR, INSTANCE_HOURS
from troupe.analysis.runs import read_run


@pytest.mark.parametrize(("workers", "hours"), [(0, 0.5), (1, 0.5), (4, 2.0)])
def test_each_worker_has_a_machine(workers, hours):
    assert instance_hours(workers, 1800.0) == hours


def test_the_published_price_is_that_of_an_hour():
    assert pytest.approx(COST_EUR / INSTANCE_HOURS, abs=5e-4) == EUR_PER_INSTANCE_HOUR


def test_start_up_is_paid_for(make_run):
    run = read_run(make_run("run", workers=4))
    hours = 4 * (run.summary["wall_s"] + 6.5) / 3600

    cost = run_cost(run, 0.134)

    assert cost.instance_hours == pytest.approx(hours)
    assert cost.price == pytest.approx(0.134 * hours)


def test_a_run_that_goes_on_costs_what_it_has_taken(make_run):
    path = make_run("run", workers=2, updates=3, ended=False)
    run = read_run(path)
    assert run_cost(run, 1.0).instance_hours == 2 * run.metrics["wall_s"][-1] / 3600

    (path / "metrics.parquet").unlink()
    assert run_cost(read_run(path), 1.0) is None
