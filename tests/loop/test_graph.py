"""A graph of nodes, run by the fixed-step loop so that every step is exact."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import FunctionError, UserError
from troupe.engines.script_settings import ScriptSettings
from troupe.loop import FixedStepLoop
from troupe.loop.functions import From, Iteration, Memory, SimulationTime, To, load_functions
from troupe.loop.graph import Execution, Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.nodes import (
    All,
    Every,
    Message,
    New,
    Node,
    NodeFunction,
    Out,
    Previous,
    Publish,
    node,
)
from troupe.loop.schedule import Timing

MS = 1_000_000

CART = """
from troupe.engines.script import Script, pack

class Cart(Script):
    inputs = {"force": pack(unit="N")}
    outputs = {"place": pack(unit="m", initial=1.0), "steps": pack(dtype=int), "got": pack()}
    state = ()

    def step(self, duration_ns):
        self.steps += 1
        self.got = self.force
        self.place += self.force * duration_ns / 1e9
"""


class Letterbox:
    """A port whose messages the test puts in and takes out."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Any]] = {}
        self.sent: list[tuple[str, Any]] = []
        self.subscriptions: Sequence[str] = ()
        self.is_closed = False

    def connect(self, subscriptions: Sequence[str], publications: Sequence[str]) -> None:
        self.subscriptions = subscriptions

    def poll(self) -> Mapping[str, Sequence[Any]]:
        waiting, self.waiting = self.waiting, {}
        return waiting

    def publish(self, topic: str, message: Any) -> None:
        self.sent.append((topic, np.asarray(message).tolist()))

    def statistics(self) -> dict[str, int]:
        return {"published": len(self.sent)}

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def cart(tmp_path: Path) -> ScriptSettings:
    (tmp_path / "cart.py").write_text(CART)
    return ScriptSettings(file=tmp_path / "cart.py")


def loop_of(
    cart: ScriptSettings,
    nodes: Sequence[NodeFunction],
    *,
    execution: Execution = "all-nodes",
    port: Letterbox | None = None,
    slow_ms: int = 10,
    num_instances: int = 1,
) -> FixedStepLoop:
    """Return a loop of two carts, which meet every 10 ms and every ``slow_ms``."""
    engines = {name: cart.build(name, num_instances, 1) for name in ("cart", "slow")}
    graph = GraphRun(Graph(nodes, execution), engines, {"box": port or Letterbox()})
    graph.connect()
    timings = {"slow": Timing(slow_ms * MS)}
    loop = FixedStepLoop(engines, 10 * MS, timings=timings, functions=graph.functions)
    begin(loop)
    return loop


def begin(loop: FixedStepLoop) -> None:
    loop.reset(range(loop.num_instances))
    loop.refresh()


def test_nodes_run_after_those_they_read_in_whatever_order_they_are_written(
    cart: ScriptSettings,
) -> None:
    order = []

    @node
    def last(value: Node("sum"), t: SimulationTime) -> To("cart.force"):
        order.append("last")
        return value

    @node
    def middle(value: Node("first"), i: Iteration) -> Out("sum"):
        order.append("middle")
        return value + i

    @node
    def first(place: From("cart.place")) -> Out("first"):
        order.append("first")
        return 10 * place

    loop = loop_of(cart, [last, middle, first])
    loop.advance()
    assert order == ["first", "middle", "last"]
    assert loop.world.read("cart.got").tolist() == [10.0]
    loop.advance()  # at 10 ms the place is 1.1 and the iteration 1
    np.testing.assert_allclose(loop.world.read("cart.got"), [12.0])


def test_a_node_runs_only_for_new_messages_unless_it_always_does(cart: ScriptSettings) -> None:
    runs = []

    @node
    def waiting(place: From("slow.place")) -> Out("slow"):
        runs.append("waiting")
        return place

    @node
    def following(place: Node("slow")) -> None:
        runs.append("following")

    @node(runs="always")
    def always(place: Node("slow")) -> None:
        runs.append("always")
        assert place.tolist() == [1.0]

    loop = loop_of(cart, [waiting, following, always], slow_ms=30)
    loop.advance_to(60 * MS)  # at 0, 10, ..., 50 ms
    assert (runs.count("waiting"), runs.count("following"), runs.count("always")) == (2, 2, 6)


def test_new_gives_what_came_and_all_gives_all_of_it(cart: ScriptSettings) -> None:
    seen = []

    @node
    def look(
        last: Message("box:a", initial="none"),
        new: New(Message("box:a")),
        every: All(Message("box:a")),
        stays: All(Message("box:a"), keep=True),
        tick: From("cart.place"),
    ) -> None:
        seen.append((last, new, every, stays))

    port = Letterbox()
    loop = loop_of(cart, [look], port=port)
    loop.synchronise()
    port.waiting = {"a": [1, 2]}
    loop.advance_to(20 * MS)
    loop.advance_to(30 * MS)
    assert port.subscriptions == ["a"]
    assert seen == [
        ("none", None, [], []),
        (2, 2, [1, 2], [1, 2]),
        (2, None, [], [1, 2]),
    ]


def test_all_of_a_pack_are_its_values_since_the_node_last_ran(cart: ScriptSettings) -> None:
    seen = []

    @node(runs="always")
    def push() -> To("cart.force"):
        return 1.0

    @node
    def collect(places: All(From("cart.place"))) -> Every(3, To("slow.force")):
        seen.append([round(float(place[0]), 3) for place in places])
        return len(places)

    loop = loop_of(cart, [push, collect], execution="output-driven")
    loop.advance_to(60 * MS)
    assert seen == [[1.0], [1.01, 1.02, 1.03]]


def test_previous_breaks_a_cycle_and_holds_what_was_given_out_before(cart: ScriptSettings) -> None:
    seen = []

    @node(runs="always")
    def count(other: Node("doubled")) -> Out("count"):
        return other + 1

    @node(runs="always")
    def double(before: Previous("count", initial=3.0)) -> Out("doubled"):
        seen.append(before.tolist())
        return 2 * before

    loop = loop_of(cart, [count, double])
    loop.advance_to(30 * MS)
    begin(loop)
    loop.advance_to(20 * MS)
    assert seen == [[3.0], [7.0], [15.0], [3.0], [7.0]]


def test_what_is_given_out_before_is_part_of_snapshots_and_of_instances(
    cart: ScriptSettings,
) -> None:
    @node(runs="always")
    def count(
        before: Previous("count"), kept: Memory("kept")
    ) -> tuple[Out("count"), To("cart.force")]:
        kept += 1
        return before + 1, 10 * before + kept

    loop = loop_of(cart, [count], num_instances=2)
    loop.advance_to(30 * MS)
    assert loop.world.read("cart.got").tolist() == [23.0, 23.0]
    snapshot = loop.snapshot()
    loop.advance()
    assert loop.world.read("cart.got").tolist() == [34.0, 34.0]
    loop.restore(snapshot)
    loop.advance()
    assert loop.world.read("cart.got").tolist() == [34.0, 34.0]
    loop.wiring.reset([5], np.array([1]), loop.now_ns)
    loop.advance()
    assert loop.world.read("cart.got").tolist() == [45.0, 1.0]


def test_a_cycle_is_an_error_that_names_it() -> None:
    @node
    def ping(a: Node("pong")) -> Out("ping"):
        return a

    @node
    def pong(a: Node("ping")) -> Out("pong"):
        return a

    @node
    def alone(a: Node("alone")) -> Out("alone"):
        return a

    with pytest.raises(
        UserError, match=r"cycle: (ping -> pong -> ping|pong -> ping -> pong)\. .*P"
    ):
        Graph([ping, pong])
    with pytest.raises(UserError, match="cycle: alone -> alone"):
        Graph([alone])


def test_only_what_sent_results_need_runs_if_outputs_drive(cart: ScriptSettings) -> None:
    runs = []

    @node(runs="always")
    def source(before: Previous("trace")) -> Out("a"):
        runs.append("source")
        return before

    @node(runs="always")
    def trace(a: Node("a")) -> Out("trace"):
        runs.append("trace")
        return a + 1

    @node(runs="always")
    def unused(a: Node("a")) -> Out("b"):
        runs.append("unused")
        return a

    @node(runs="always")
    def drive(a: Node("a")) -> Every(2, To("cart.force")):
        runs.append("drive")
        return a

    nodes = [source, trace, unused, drive]
    loop_of(cart, nodes, execution="output-driven").advance_to(40 * MS)
    assert sorted(runs) == sorted(["source", "trace", "drive"] * 2)
    runs.clear()
    loop_of(cart, nodes, execution="all-nodes").advance_to(40 * MS)
    assert sorted(runs) == sorted(["source", "trace", "unused", "drive"] * 4)


def test_results_are_published_at_their_period_as_they_say(cart: ScriptSettings) -> None:
    @node
    def tell(
        steps: From("cart.steps"), i: Iteration
    ) -> tuple[
        Publish("box:each"),
        Every(3, Publish("box:last")),
        Every(3, Publish("box:series", messages="series")),
        Every(3, Publish("box:batch", messages="batch")),
        Publish("box:latched", delivery="latch"),
    ]:
        # the array goes on changing, what waits does not
        return steps, steps, steps, steps, "set" if i == 0 else None

    port = Letterbox()
    loop_of(cart, [tell], port=port).advance_to(40 * MS)  # at 0, 10, 20, 30 ms
    sent = {topic: [m for t, m in port.sent if t == topic] for topic, _ in port.sent}
    assert sent == {
        "each": [[0], [1], [2], [3]],
        "last": [[0], [3]],
        "series": [[0], [1], [2], [3]],
        "batch": [[[0]], [[1], [2], [3]]],
        "latched": ["set"] * 4,
    }


def test_a_result_that_is_none_sends_nothing_even_among_others(cart: ScriptSettings) -> None:
    @node
    def steer(
        place: From("cart.place"), i: Iteration
    ) -> tuple[To("cart.force"), To("slow.force"), Out("x")]:
        return (1.0, None, None) if i == 0 else (None, 2.0, None)

    loop = loop_of(cart, [steer])
    loop.advance()
    assert [loop.world.read(f"{n}.got").tolist() for n in ("cart", "slow")] == [[1.0], [0.0]]
    loop.advance()
    assert [loop.world.read(f"{n}.got").tolist() for n in ("cart", "slow")] == [[1.0], [2.0]]


def test_a_reset_forgets_messages_but_not_those_before_the_first_step(
    cart: ScriptSettings,
) -> None:
    seen = []

    @node(runs="always")
    def look(a: Message("box:a", 0), i: Iteration) -> None:
        seen.append((i, a))

    port = Letterbox()
    port.waiting = {"a": [7]}
    loop = loop_of(cart, [look], port=port)
    loop.advance_to(20 * MS)
    port.waiting = {"a": [8]}
    begin(loop)
    loop.advance_to(20 * MS)
    assert seen == [(0, 7), (1, 7), (0, 0), (1, 0)]


def test_the_same_graph_gives_bitwise_the_same_run(cart: ScriptSettings) -> None:
    @node
    def smooth(place: From("cart.place"), kept: Memory("kept")) -> Out("smooth"):
        kept += 0.1 * (place - kept)
        return kept

    @node(runs="always")
    def spring(
        place: Node("smooth"), before: Previous("force")
    ) -> tuple[Out("force"), To("cart.force")]:
        force = 0.9 * before - 7.0 * place
        return force, force

    def run(execution: Execution) -> list[float]:
        loop = loop_of(cart, [spring, smooth], slow_ms=15, execution=execution)
        places = []
        for _ in range(100):
            loop.advance()
            places.append(float(loop.world.read("cart.place")[0]))
        return places

    assert run("all-nodes") == run("all-nodes") == run("output-driven")


def test_a_node_that_raises_ends_the_run_with_its_own_lines(cart: ScriptSettings) -> None:
    @node
    def broken(place: From("cart.place"), i: Iteration) -> tuple[Out("a"), Out("b")]:
        if i == 1:
            raise ZeroDivisionError("mine")
        return (1, 2, 3) if i == 2 else (1, 2)

    loop = loop_of(cart, [broken])
    with pytest.raises(
        FunctionError, match=r"'broken' raised at 0\.01 s:\n.*test_graph.*\n.*\n.*mi"
    ):
        loop.advance_to(20 * MS)
    loop.iteration = 2
    with pytest.raises(FunctionError, match="a tuple of 2 results"):
        loop.synchronise()


def test_a_previous_value_that_does_not_fit_says_so(cart: ScriptSettings) -> None:
    @node(runs="always")
    def wide(before: Previous("wide")) -> Out("wide"):
        return np.zeros((1, 3))

    with pytest.raises(FunctionError, match=r"Previous\('wide'\) holds an array of shape \(1,\)"):
        loop_of(cart, [wide]).advance()


def test_wrong_names_are_errors_before_the_start(cart: ScriptSettings) -> None:
    @node
    def reads(a: Node("angel")) -> Out("angle"):
        return a

    @node
    def twice(a: From("cart.place")) -> Out("angle"):
        return a

    @node
    def posts(a: From("cart.place")) -> Publish("bix:a"):
        return a

    @node
    def lost(a: Message("box")) -> None:
        pass

    @node
    def pack(a: From("cart.plaice")) -> None:
        pass

    with pytest.raises(UserError, match=r"'reads': unknown output .* 'angel'.* 'angle'\? Valid"):
        Graph([reads])
    with pytest.raises(UserError, match="two nodes give out 'angle'"):
        Graph([reads, twice])
    with pytest.raises(UserError, match="two nodes have the name 'twice'"):
        Graph([twice, twice])
    with pytest.raises(UserError, match=r"unknown port 'bix'.*'box'"):
        loop_of(cart, [posts])
    with pytest.raises(UserError, match="'box' is no topic: write 'port:topic'"):
        loop_of(cart, [lost])
    with pytest.raises(UserError, match=r"'pack', 'a': unknown datapack.*'cart\.place'"):
        loop_of(cart, [pack])


def test_annotations_that_say_nothing_are_errors() -> None:
    with pytest.raises(UserError, match="argument 'a' says not where it comes from"):

        @node
        def no_source(a: int) -> None:
            pass

    with pytest.raises(UserError, match="its result says not where it goes"):

        @node
        def no_target(a: From("cart.place")):  # type: ignore[no-untyped-def]
            pass

    with pytest.raises(UserError, match="reads no messages to run for"):

        @node
        def never(t: SimulationTime) -> Out("a"):
            pass

    with pytest.raises(UserError, match="'on-new-message' or 'always', not 'often'"):

        @node(runs="often")  # type: ignore[call-overload]
        def often(a: From("cart.place")) -> None:
            pass

    with pytest.raises(UserError, match="1 or more"):
        Every(0, To("cart.force"))


def test_files_define_nodes_beside_other_functions(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from troupe.loop.functions import From, To, status, Iteration\n"
        "from troupe.loop.nodes import node\n"
        "@node\n"
        "def steer(a: From('cart.place')) -> To('cart.force'):\n    return 2 * a\n"
        "@status\n"
        "def done(i: Iteration):\n    return i > 3\n"
    )
    steer, done = load_functions([tmp_path / "mine.py"], "loop.functions")
    assert isinstance(steer, NodeFunction)
    assert not isinstance(done, NodeFunction)
    assert steer(3) == 6
