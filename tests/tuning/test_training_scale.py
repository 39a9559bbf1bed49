"""How much an adapter counts goes by the root of its rank, in the trainer, in its files and in the engine alike."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from peft.tuners.lora import Linear
from running_engine import RunningEngine
from small_training import new_run, small_llama

from config.catalogue import DEMO_FOLDER
from config.names import VersionName
from serving.adapters import publish
from tuning.gate.parity import measure_parity
from tuning.training import lora
from tuning.training.loop import Training
from tuning.training.run import TrainingRun


@pytest.mark.parametrize(("rank", "scale"), [(8, 2 * 2**0.5), (16, 2.0), (32, 2**0.5)])
def test_the_scale_is_two_at_rank_sixteen_and_goes_by_the_root_of_the_rank(
    base: Path, tmp_path: Path, rank: int, scale: float
) -> None:
    model = lora.attach(small_llama(), TrainingRun(model=str(base), rank=rank))
    lora.save_adapter(model, tmp_path / "adapter")
    for held in (model, lora.load_adapter(small_llama(), tmp_path / "adapter")):
        scales = {module.scaling["default"] for module in held.modules() if isinstance(module, Linear)}
        assert sorted(scales) == [pytest.approx(scale)]


async def test_the_engine_scales_an_adapter_of_another_rank_as_the_trainer_did(
    engine: RunningEngine, tmp_path: Path
) -> None:
    folder, run = new_run(tmp_path / "run", DEMO_FOLDER, rank=8, epochs=1, own_share=0.0, replay_share=0.0)
    await asyncio.to_thread(lambda: Training(folder, run, lambda: False).go())
    other = tmp_path / "other"
    shutil.copytree(folder.adapter, other)
    config = json.loads((other / "adapter_config.json").read_text())
    assert config.pop("use_rslora")
    (other / "adapter_config.json").write_text(json.dumps(config))
    apart = []
    for name, adapter in (("yawl", folder.adapter), ("ketch", other)):
        version = VersionName(name, 1)
        publish(adapter, engine.paths.adapter(version), {"base_model": "demo"})
        parity = await measure_parity(engine.client, version, folder.read_parity(), "float32")
        assert parity.same_rendering and parity.tokens >= 300
        apart.append(parity.mean_difference)
    assert apart[0] < 0.002
    assert apart[1] > parity.limit  # and without that word in its file it would not be the same adapter
