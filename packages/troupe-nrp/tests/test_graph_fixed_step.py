import json
from collections import defaultdict

from troupe_nrp.run import run

HEAD = """
import json
from nrp_core.data.nrp_json import JsonDataPack
from nrp_core.event_loop import *
always = node_policies.functional_node.exec_policy.always
"""

SHARED = """
def log(name, iteration):
    with open("log.jsonl", "a") as file:
        file.write(json.dumps([name, iteration]) + "\\n")

@Iteration(keyword="i")
@FunctionalNode(name="source", outputs=["i"], exec_policy=always)
def f(i):
    log("source", i)
    return [i]

@Iteration(keyword="i")
@FunctionalNode(name="feeds nothing", outputs=["i"], exec_policy=always)
def f(i):
    log("feeds nothing", i)
    return [i]
"""

ENGINES = """
@FromFunctionalNode(keyword="i", address="/source/i")
@ToEngine(keyword="pack", address="/slow")
@FunctionalNode(name="to slow", outputs=["pack"], exec_policy=always)
def f(i):
    log("to slow", i)
    return [JsonDataPack("heard", "slow")]

@FromEngine(keyword="time", address="/slow/time")
@ToEngine(keyword="pack", address="/fast/heard", compute_period=3)
@Iteration(keyword="i")
@FunctionalNode(name="to fast", outputs=["pack"])
def f(time, i):
    log("to fast", i)
    return [JsonDataPack("heard", "fast")]
"""


def test_a_node_runs_when_an_engine_that_it_feeds_synchronises(write_experiment, engine) -> None:
    path = write_experiment(
        {
            "SimulationTimeout": 0.05,
            "DataPackProcessor": "cg",
            "EngineConfigs": [engine("fast"), engine("slow", EngineTimestep=0.02)],
            "ComputationalGraph": ["engines.py", "shared.py"],
        },
        engines=HEAD + ENGINES,
        shared=SHARED,
    )
    run(path)
    runs = defaultdict(list)
    for line in (path.parent / "log.jsonl").read_text().splitlines():
        name, iteration = json.loads(line)
        runs[name].append(iteration)
    assert runs == {"source": [0, 2, 4], "to slow": [0, 2, 4], "to fast": [0, 1, 2, 3, 4]}
