import pytest

from troupe.core import UserError
from troupe.fleet.storm import PARTS, Blow, regular_storm, scripted_storm, target_of

HERE = {"process": 10, "host": "here", "nodes": [], "workers": []}


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "here")


def workers(*processes: int, host: str = "here") -> list[dict]:
    return [{"worker": w, "host": host, "process": p} for w, p in enumerate(processes)]


def test_a_regular_storm_follows_from_its_seed():
    storm = regular_storm({"actor": 10.0, "learner": 25.0}, 60.0, seed=3)
    times = {part: [blow.at_s for blow in storm if blow.part == part] for part in PARTS}
    assert times == {
        "actor": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
        "learner": [25.0, 50.0],
        "node": [],
    }
    assert [blow.at_s for blow in storm] == sorted(blow.at_s for blow in storm)
    assert regular_storm({"actor": 10.0, "learner": 25.0}, 60.0, seed=3) == storm
    assert regular_storm({"actor": 10.0, "learner": 25.0}, 60.0, seed=4) != storm
    # the same actors, whatever else is killed
    alone = regular_storm({"actor": 10.0}, 60.0, seed=3)
    assert alone == [blow for blow in storm if blow.part == "actor"]


def test_a_script_says_what_is_killed_and_when(tmp_path):
    file = tmp_path / "storm.yaml"
    file.write_text("- {at: 1min, kill: learner}\n- {at: 500ms, kill: actor, which: 2}\n")
    storm = scripted_storm(file, seed=0)
    assert [(blow.at_s, blow.part, blow.which) for blow in storm] == [
        (0.5, "actor", 2),
        (60.0, "learner", None),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{at: 1s, kill: actor}", "is to be a list"),
        ("- {at: 1, kill: actor}", "has no unit"),
        ("- {at: 1s, kill: king}", r"entry 0\.kill.*'actor'"),
        ("- {at: 1s, kill: actor, who: 3}", "unknown.*who"),
        ("- [", "cannot be read"),
    ],
)
def test_a_script_with_a_mistake_is_refused(tmp_path, content, message):
    file = tmp_path / "storm.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        scripted_storm(file, seed=0)


def test_blows_hit_what_is_there():
    status = {**HERE, "workers": workers(20, 21, 22), "nodes": [{"host": "here", "process": 30}]}

    def hit(*blow) -> tuple[int, int] | None:
        target = target_of(Blow(0.0, *blow), status)
        return target and (target.number, target.process)

    assert hit("actor", 0.0) == (0, 20)
    assert hit("actor", 0.99) == (2, 22)
    assert hit("actor", 0.99, 1) == (1, 21)
    assert hit("actor", 0.5, 7) is None
    assert hit("learner", 0.5) == (0, 10)
    assert hit("node", 0.5) == (0, 30)
    status["learners"] = [{"learner": n, "host": "here", "process": 40 + n} for n in range(4)]
    assert hit("learner", 0.5) == (2, 42)


def test_processes_elsewhere_are_out_of_reach():
    status = {**HERE, "workers": workers(20, 21, host="there")}
    assert target_of(Blow(0.0, "actor", 0.5), status) is None
    assert target_of(Blow(0.0, "node", 0.5), status) is None
