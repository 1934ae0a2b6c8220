"""A measurement says what was measured where, and nothing of whose it is."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gemmahub.engines.contract import Adapter, SessionInfo, Settings
from gemmahub.hardware.simulate import preset_machine
from gemmahub.measurements.records import SpeedResult
from gemmahub.measurements.results import as_file
from gemmahub.service.installation import Installation
from gemmahub.service.measuring import conditions_of, machine_text, measured_model
from gemmahub.testing.model_writer import write_model

PLACE = "/home/somebody/secret-place"


def test_a_result_names_no_path_user_host_or_token(tmp_path: Path) -> None:
    write_model(tmp_path / "mine.gguf")
    here = Installation()
    variant = here.registry.resolve(str(tmp_path / "mine.gguf"))
    settings = Settings(
        context=512,
        gpu_layers=1,
        drafter=Path(PLACE, "head.gguf"),
        adapters=(Adapter(Path(PLACE, "tone.gguf"), 0.5),),
        remote_workers=("desk-of-somebody:50052",),
        options={"batch": 64, "key": "a-token", "log": PLACE},
    )
    info = SessionInfo("an engine 1.2", 512, 512, False, "CPU", settings)
    running: Any = SimpleNamespace(
        variant=variant, backend="one", session=SimpleNamespace(info=info)
    )
    machine = preset_machine("rtx-3090")
    conditions = conditions_of(here, running, machine, ["the machine was busy"])
    model = measured_model(here, variant)

    assert model.content == sha256((tmp_path / "mine.gguf").read_bytes()).hexdigest()
    assert model.reference == "mine.gguf"
    assert conditions.place == "split"
    assert conditions.machine == machine_text(machine)
    assert "RTX 3090 24.00 GiB" in conditions.machine
    assert conditions.settings["drafter"] == "head.gguf"
    assert conditions.settings["adapters"] == "tone.gguf=0.5"
    assert conditions.settings["remote_workers"] == 1
    assert conditions.settings["batch"] == 64
    text = as_file([SpeedResult(model=model, conditions=conditions)])
    assert json.loads(text)
    for told in (PLACE, str(tmp_path), "desk-of-somebody", "a-token"):
        assert told not in text
