import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from troupe.core import plugins
from troupe.core.settings import Settings
from troupe.engines.base import EngineSettings
from troupe.engines.mujoco_camera_settings import CameraSettings
from troupe.engines.mujoco_light_settings import LightSettings
from troupe.engines.mujoco_settings import PackBinding
from troupe.engines.step_times import LognormalTime, ParetoTime
from troupe.experiments.aliases import MOVED, RENAMED
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import (
    CollectSettings,
    EvaluationSettings,
    Experiment,
    FleetSettings,
    StopSettings,
)
from troupe.loop import EventLoopSettings
from troupe.loop.mqtt_settings import MqttSettings, MqttTopicSettings
from troupe.loop.settings import ConnectionEntry, FixedStepSettings, RecordSettings
from troupe.tasks.randomisation.distributions import DISTRIBUTIONS
from troupe.tasks.randomisation.settings import DelaySettings, NoiseSettings, PackSettings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[Settings]] = {
    "Experiment": Experiment,
    "Pack of a MuJoCo engine": PackBinding,
    "Camera of a MuJoCo engine": CameraSettings,
    "Light of a MuJoCo engine": LightSettings,
    "Every engine": EngineSettings,
    "Step time `pareto`": ParetoTime,
    "Step time `lognormal`": LognormalTime,
    "Loop": FixedStepSettings,
    "Event loop": EventLoopSettings,
    "MQTT port": MqttSettings,
    "Topic of an MQTT port": MqttTopicSettings,
    "Connection": ConnectionEntry,
    "Record": RecordSettings,
    "Randomisation of a pack": PackSettings,
    "Randomisation `delay`": DelaySettings,
    "Randomisation `noise`": NoiseSettings,
    **{f"Distribution `{name}`": cls for name, cls in DISTRIBUTIONS.items()},
    "Fleet": FleetSettings,
    "Stop": StopSettings,
    "Evaluation": EvaluationSettings,
    "Collect": CollectSettings,
    **{
        f"{group.capitalize()} `{name}`": plugins.load(f"troupe.{group}s", name)
        for group in ("engine", "scene", "task", "learner")
        for name in plugins.names(f"troupe.{group}s")
        if not name.startswith("nrp-")  # which its own distribution describes
    },
}


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def own_keys(settings: type[Settings]) -> dict[str, str]:
    """The keys as users write them, less those that every engine has; the fields' names."""
    if settings is EngineSettings:
        return {name: name for name in settings.model_fields if name != "type"}
    common = EngineSettings.model_fields if issubclass(settings, EngineSettings) else {}
    return {
        field.alias or name: name
        for name, field in settings.model_fields.items()
        if name == "type" or name not in common or field.default != common[name].default
    }


def stated(default: str) -> Any:
    return None if default == "–" else yaml.safe_load(default.strip("`"))


def default_of(settings: type[Settings], key: str) -> Any:
    field = settings.model_fields[key]
    if field.is_required():
        return "required"
    made = settings.model_construct(**{key: field.default})
    return made.model_dump(mode="json", include={key}, warnings=False)[field.alias or key]


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_lists_all_settings_with_their_defaults(heading: str) -> None:
    settings = SECTIONS[heading]
    listed = {key.strip("`"): default for key, default, _ in rows_under(heading)}
    assert listed.keys() == own_keys(settings).keys()
    for key, default in listed.items():
        if default != "see below":
            name = own_keys(settings)[key]
            assert default_of(settings, name) == stated(default), key


def test_the_page_lists_all_names_of_other_projects() -> None:
    here = {
        name: re.findall(r"`([\w.]+)`", place)[0]
        for names, place in rows_under("Names of other projects")
        for name in re.findall(r"`(\w+)`", names)
    }
    assert here.keys() == RENAMED.keys() | MOVED.keys()
    for name, ours in RENAMED.items():
        assert here[name] == f"learner.{ours}"
    batch = "learner.batch=4096"
    before = load_experiment("scara-reach", [batch]).resolved()
    for name in MOVED:
        after = load_experiment("scara-reach", [batch, f"learner.{name}=32"]).resolved()
        section, key = here[name].split(".")
        assert after[section][key] != before[section][key], name
        assert {**after[section], key: before[section][key]} == before[section]
