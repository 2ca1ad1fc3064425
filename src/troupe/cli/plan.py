"""``troupe plan``: what a fleet of any size would do and cost, before it is rented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from troupe.cli.output import print_json, users_output
from troupe.cli.plan_output import Planned, as_json_object, print_plan
from troupe.cli.plan_values import (
    check_price,
    choose_mode,
    choose_simulator,
    parse_bandwidth,
    parse_seconds,
    parse_workers,
)
from troupe.cli.source import describe_experiment
from troupe.core.errors import UserError
from troupe.core.machine import num_cores
from troupe.experiments.load import build_experiment

if TYPE_CHECKING:
    from troupe.experiments.schema import Experiment
    from troupe.fleet.calibration import Calibration, CallTimes


def plan(
    source: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="A catalog name or a YAML file.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="Plan for this Gymnasium id instead.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
    workers: Annotated[
        str, typer.Option(help="Numbers of workers: 8, 1,4,16 or 1..4096.")
    ] = "1..4096",
    step_time: Annotated[
        str | None,
        typer.Option(
            help="That the simulator takes for a step of an instance, e.g. 100ms; default: as "
            "the experiment declares, or no more than is measured."
        ),
    ] = None,
    tail: Annotated[
        float | None, typer.Option(help="Exponent of a Pareto distribution of the step time.")
    ] = None,
    step_cpu: Annotated[
        float, typer.Option(help="Share of the step time on a core of the node.")
    ] = 0.0,
    bandwidth: Annotated[str, typer.Option(help="Of the learner's network.")] = "1Gbit/s",
    latency: Annotated[str, typer.Option(help="Of a message between machines.")] = "0.5ms",
    price_per_hour: Annotated[float | None, typer.Option(help="Of a machine.")] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Of each machine; default: as this one.")
    ] = None,
    workers_per_node: Annotated[int, typer.Option(min=1, help="Workers that share a machine.")] = 1,
    instances_per_worker: Annotated[
        int | None, typer.Option(min=1, help="Default: as the experiment divides them.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="synchronous or asynchronous; default: the experiment's.")
    ] = None,
    fragment: Annotated[
        int | None, typer.Option(min=1, help="Steps of an instance in an asynchronous fragment.")
    ] = None,
    slow_workers: Annotated[
        int | None, typer.Option(min=0, help="How many are slower; default: the experiment's.")
    ] = None,
    slow_factor: Annotated[
        float, typer.Option(min=1, help="How many times as long these take for a step.")
    ] = 10.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the run; default: the experiment's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the experiment's.")] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Measure the experiment's parts on this machine, or take typical values.",
        ),
    ] = True,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster whose calls are measured too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict speed, policy lag, time and cost of a fleet by its number of workers."""
    # read what was given
    numbers, price = parse_workers(workers), check_price(price_per_hour)
    bits_per_s, latency_s = parse_bandwidth(bandwidth), parse_seconds(latency, "--latency")
    if not 0 <= step_cpu <= 1:
        raise UserError(f"--step-cpu: a share, 0 to 1, not {step_cpu}.")
    with users_output(as_json):
        experiment = build_experiment(describe_experiment(source, env, overrides or []))
        simulator = choose_simulator(experiment, step_time, tail)
        settings = experiment.fleet
        instances = instances_per_worker or -(-settings.instances // max(1, settings.workers))
        chosen = choose_mode(experiment, mode)
        # measure
        parts, calls = _measured(experiment, instances, calibrate, address)
    # simulate
    from troupe.analysis.fleet_model import Fleet
    from troupe.analysis.fleet_model_nodes import ActorStep
    from troupe.analysis.fleet_model_plan import Job
    from troupe.analysis.fleet_model_plan import plan as make_plan
    from troupe.fleet.calibration import ACTOR_STARTUP_S
    from troupe.fleet.training import learner_settings

    learner = learner_settings(experiment)
    fleet = Fleet(
        step=ActorStep(
            cpu_s=parts.step_cpu_s,
            engine_s=parts.engine_s,
            wait_s=parts.step_wait_s,
            simulator=simulator,
            simulator_cpu=step_cpu,
        ),
        instances_per_worker=instances,
        batch=learner.batch,
        update_s=parts.update_s,
        mode=chosen,
        fragment=fragment or settings.fragment,
        update="immediate" if settings.update == "immediate" else "fragment",
        max_lag=settings.max_lag,
        sample_ahead=learner.lag == 1,
        step_bytes=parts.step_bytes,
        state_bytes=parts.state_bytes,
        policy_bytes=parts.policy_bytes,
        bits_per_s=bits_per_s,
        latency_s=latency_s,
        call_s=max(0.0, calls.call_s - calls.handling_s),
        handling_s=calls.handling_s,
        offer_s=calls.offer_s,
        cores=cores or num_cores(),
        workers_per_node=workers_per_node,
        slow_workers=(
            settings.slow_workers
            if slow_workers is None
            else dict.fromkeys(range(slow_workers), slow_factor)
        ),
    )
    job = Job(steps or experiment.steps, parts.startup_s, ACTOR_STARTUP_S, price)
    made = make_plan(fleet, numbers, job, experiment.seed if seed is None else seed)
    # show
    planned = Planned(experiment.name, fleet, job, parts, calls, made)
    if as_json:
        print_json(as_json_object(planned))
    else:
        print_plan(planned)


def _measured(
    experiment: Experiment, instances: int, is_measured: bool, address: str | None
) -> tuple[Calibration, CallTimes]:
    from troupe.fleet.calibration import CallTimes, calibrate, measure_calls, typical
    from troupe.fleet.training import learner_settings

    batch = learner_settings(experiment).batch
    parts = calibrate(experiment, instances) if is_measured else typical(instances, batch)
    if address is None:
        return parts, CallTimes()
    fragment = instances * (experiment.fleet.fragment * parts.step_bytes + parts.state_bytes)
    return parts, measure_calls(address, round(fragment))
