"""An experiment under the control of a Python program."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from troupe.core.errors import TroupeError, UserError

from troupe_nrp.load import load_experiment
from troupe_nrp.open import open_simulation
from troupe_nrp.run import FOREVER_NS
from troupe_nrp.simulation import Simulation
from troupe_nrp.travel import to_travel
from troupe_nrp.working_directory import working_in

State = Literal["Created", "Initialized", "Running", "Stopped", "Failed"]
Result = TypeVar("Result")

_IGNORED_ARGUMENTS = ("-p", "--plugins", "-l", "--loglevel", "--cloglevel", "--floglevel")


class RequestError(RuntimeError):
    """A request that is not possible in this state, or that failed."""


class NrpCore:
    """Runs an experiment in this process.

    Created → `initialize` → Initialized → run → Stopped → `reset` → Initialized; `shutdown` leads
    back to Created. A request that fails leads to Failed, where only `shutdown` is possible; one
    that is not possible changes nothing.
    """

    def __init__(
        self,
        address: str = "",
        experiment_folder: str | Path = "",
        config_file: str | Path = "simulation_config.json",
        args: str = "",
        log_output: str | bool | None = None,
        server_timeout: float = 10,
        docker_daemon_address: str = "",
        image_name: str = "",
        get_archives: Sequence[str] = (),
        compose_file: str = "",
    ) -> None:
        """Read and check the configuration.

        Args:
            address: unused: there is no server.
            experiment_folder: of the configuration; default: the working directory.
            config_file: of the experiment, relative to the folder.
            args: ``-o Key.Sub=value`` for each override.
            log_output: unused: the output is this process'.
            server_timeout: unused.
            docker_daemon_address: unused.
            image_name: not possible.
            get_archives: unused.
            compose_file: not possible.

        Raises:
            UserError: if anything in the configuration is wrong.
        """
        if image_name or compose_file:
            raise UserError("NrpCore: an experiment runs without containers: leave the image out.")
        path = Path(experiment_folder) / config_file
        self._experiment = load_experiment(path, _overrides(args))
        self._state: State = "Created"
        self._simulation: Simulation | None = None
        self._packs: list[tuple[str, str, Any]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure = ""

    def current_state(self) -> State:
        """Return the state of the experiment."""
        return self._state

    def initialize(self) -> list[Any]:
        """Start engines and programs, and return the datapacks known at time 0."""
        self._require("initialize", "Created")
        with self._request("Initialized"):
            self._simulation = open_simulation(self._experiment)
            return self._simulation.start()

    @overload
    def run_loop(
        self, num_iterations: int, run_async: Literal[False] = False, response: None = None
    ) -> tuple[bool, list[Any]]: ...
    @overload
    def run_loop(
        self, num_iterations: int, run_async: bool, response: list[Any] | None = None
    ) -> Any: ...
    def run_loop(
        self, num_iterations: int, run_async: bool = False, response: list[Any] | None = None
    ) -> Any:
        """Run iterations, and return whether the status function ended them, and its data.

        Args:
            num_iterations: how many, each of the configuration's ``SimulationTimestep``.
            run_async: whether to return at once, with a thread that can be joined.
            response: list to which the result is then appended.
        """

        def run() -> tuple[bool, list[Any]]:
            simulation = self._running()
            until_ns = simulation.now_ns + num_iterations * simulation.step_ns
            done = self._advance(simulation, until_ns)
            return done, simulation.take_trajectory()

        return self._run("run_loop", run, run_async, response)

    @overload
    def run_until_timeout(
        self, run_async: Literal[False] = False, response: None = None
    ) -> tuple[bool, bool, list[Any]]: ...
    @overload
    def run_until_timeout(self, run_async: bool, response: list[Any] | None = None) -> Any: ...
    def run_until_timeout(self, run_async: bool = False, response: list[Any] | None = None) -> Any:
        """Run to the end; return whether the status function or the timeout was it, and the data.

        Args:
            run_async: whether to return at once, with a thread that can be joined.
            response: list to which the result is then appended.
        """

        def run() -> tuple[bool, bool, list[Any]]:
            simulation = self._running()
            until_ns = simulation.timeout_ns or FOREVER_NS
            done = self._advance(simulation, until_ns)
            timed_out = not done and simulation.now_ns >= until_ns
            return done, timed_out, simulation.take_trajectory()

        return self._run("run_until_timeout", run, run_async, response)

    def unpack_thread_results(self, response: Any) -> Any:
        """Return what a thread appended to the response, as the request would have returned it."""
        return response

    def stop(self) -> None:
        """Let a run that goes on in a thread end at its next synchronisation, and wait for it."""
        self._require("stop", "Running", "Stopped")
        thread = self._thread
        self._stop.set()
        if thread is not None:
            thread.join()

    def reset(self) -> list[Any]:
        """Return to time 0 and return the datapacks known there."""
        self._require("reset", "Initialized", "Stopped")
        with self._request("Initialized"):
            return self._running().reset(self._take_packs())

    def shutdown(self) -> None:
        """End engines and programs."""
        self._require("shutdown", "Initialized", "Running", "Stopped", "Failed")
        if self._state == "Running":
            self.stop()
        simulation, self._simulation = self._simulation, None
        self._packs, self._failure = [], ""
        if simulation is not None:
            with self._request("Created"):
                simulation.close()
        self._state = "Created"

    def set_json_datapack(self, datapack_name: str, engine_name: str, payload: Any) -> None:
        """Keep a dict for an engine; it is given it with the next `run_loop` or `reset`."""
        self._packs.append((engine_name, datapack_name, to_travel(payload)))

    def set_proto_datapack(self, datapack_name: str, engine_name: str, payload: Any) -> None:
        """Keep a message for an engine; it is given it with the next `run_loop` or `reset`."""
        self._packs.append((engine_name, datapack_name, to_travel(payload)))

    def __enter__(self) -> NrpCore:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Shut down whatever runs."""
        if self._state != "Created":
            self.shutdown()

    def _run(
        self,
        what: str,
        run: Callable[[], Any],
        run_async: bool,
        response: list[Any] | None,
    ) -> Any:
        self._require(what, "Initialized", "Stopped")
        self._stop.clear()
        self._state = "Running"
        if not run_async:
            return self._run_here(run)

        def in_thread() -> None:
            try:
                result = self._run_here(run)
            except RequestError:
                return  # the state and the next request tell
            if response is not None:
                response.append(result)

        self._thread = threading.Thread(target=in_thread, name="simulation", daemon=True)
        self._thread.start()
        return self._thread

    def _run_here(self, run: Callable[[], Result]) -> Result:
        with self._request("Stopped"):
            self._running().send(self._take_packs())
            return run()

    def _advance(self, simulation: Simulation, until_ns: int) -> bool:
        while simulation.now_ns < until_ns and not self._stop.is_set():
            simulation.advance(until_ns)
            if simulation.is_done:
                return True
        return False

    @contextmanager
    def _request(self, then: State) -> Iterator[None]:
        try:
            with working_in(self._experiment.directory):
                yield
        except TroupeError as error:
            self._state, self._failure = "Failed", str(error)
            raise RequestError(f"{error}\nThe only request possible now is shutdown().") from error
        except BaseException as error:
            self._state, self._failure = "Failed", repr(error)
            raise
        self._state = then

    def _require(self, what: str, *states: State) -> None:
        if self._state not in states:
            because = f", since: {self._failure}" if self._failure else ""
            raise RequestError(
                f"{what}() is not possible in the state {self._state}, only in "
                f"{' or '.join(states)}{because}"
            )

    def _running(self) -> Simulation:
        assert self._simulation is not None
        return self._simulation

    def _take_packs(self) -> list[tuple[str, str, Any]]:
        packs, self._packs = self._packs, []
        return packs


def _overrides(args: str) -> list[str]:
    words = iter(shlex.split(args))
    found = []
    for word in words:
        if word in ("-o", "--override"):
            found.append(next(words, ""))
        elif word in _IGNORED_ARGUMENTS:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in _IGNORED_ARGUMENTS)):
            raise UserError(f"NrpCore: argument '{word}': only -o Key=value has a meaning here.")
    return found
