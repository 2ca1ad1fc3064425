from troupe.analysis.groups import group_runs
from troupe.analysis.runs import read_runs


def test_seeds_of_a_number_of_workers_form_a_group(sweep):
    groups = group_runs(read_runs([sweep]))

    assert [group.label for group in groups] == ["1 worker", "4 workers"]
    assert [len(group.runs) for group in groups] == [2, 2]
    assert [group.series for group in groups] == ["", ""]
    assert groups[0].published.joints == 3


def test_other_settings_that_differ_are_in_the_label(make_run):
    paths = [
        make_run("a", overrides=("learner.gamma=0.9",)),
        make_run("b", overrides=("learner.gamma=0.8",)),
    ]
    assert [g.label for g in group_runs(read_runs(paths))] == [
        "learner.gamma = 0.9",
        "learner.gamma = 0.8",
    ]

    paths.append(make_run("c", workers=2, overrides=("learner.gamma=0.9",)))
    assert [g.label for g in group_runs(read_runs(paths))] == [
        "learner.gamma = 0.9, in process",
        "learner.gamma = 0.9, 2 workers",
        "learner.gamma = 0.8, in process",
    ]


def test_experiments_are_told_apart_by_name(make_run):
    paths = [make_run("a"), make_run("b", experiment="mara-reach")]

    groups = group_runs(read_runs(paths))

    assert [group.label for group in groups] == ["scara-reach", "mara-reach"]
    assert [group.published.joints for group in groups] == [3, 6]


def test_one_run_is_told_by_its_workers(make_run):
    assert [g.label for g in group_runs(read_runs([make_run("a")]))] == ["in process"]
