"""How much an adapter counts goes by the root of its rank while it is trained, and is in the numbers of its file, which
an engine computes with as they are."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import Linear
from running_engine import RunningEngine
from safetensors.torch import load_file, save_file
from small_training import new_run, small_llama

from config.catalogue import DEMO_FOLDER
from config.names import VersionName
from serving.adapters import publish
from tuning.gate.parity import measure_parity
from tuning.training import lora
from tuning.training.loop import Training
from tuning.training.run import TrainingRun

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.mark.parametrize(("rank", "scale"), [(8, 2 * 2**0.5), (16, 2.0), (32, 2**0.5)])
def test_the_scale_is_two_at_rank_sixteen_and_goes_by_the_root_of_the_rank(
    base: Path, tmp_path: Path, rank: int, scale: float
) -> None:
    model = lora.attach(small_llama(), TrainingRun(model=str(base), rank=rank))
    for name, parameter in lora.trained(model).items():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.02)
    lora.save_adapter(model, tmp_path / "adapter")
    again = lora.load_adapter(small_llama(), tmp_path / "adapter")
    assert _scales(model) == [pytest.approx(scale)] and _scales(again) == [1.0]
    ids = torch.arange(4, 60)[None]
    with torch.no_grad():
        trained, read, plain = (each(ids).logits for each in (model.eval(), again, small_llama().eval()))
    assert (read - trained).norm() < 0.01 * (trained - plain).norm()


def test_an_adapters_numbers_are_those_that_an_engine_keeps(base: Path, tmp_path: Path) -> None:
    model = lora.attach(small_llama(), TrainingRun(model=str(base), rank=8))
    lora.save_adapter(model, tmp_path / "adapter")
    numbers = load_file(tmp_path / "adapter" / WEIGHTS)
    assert numbers and {each.dtype for each in numbers.values()} == {torch.bfloat16}
    read = lora.trained(lora.load_adapter(small_llama(), tmp_path / "adapter").requires_grad_(True))
    held = {name.replace(".default", ""): each for name, each in read.items() if ".lora_" in name}
    assert held.keys() == numbers.keys()
    assert all(torch.equal(held[name].float(), numbers[name].float()) for name in numbers)


async def test_the_engine_scales_an_adapter_of_another_rank_as_the_trainer_did(
    engine: RunningEngine, tmp_path: Path
) -> None:
    folder, run = new_run(tmp_path / "run", DEMO_FOLDER, rank=8, epochs=1, own_share=0.0, replay_share=0.0)
    await asyncio.to_thread(lambda: Training(folder, run, lambda: False).go())
    other = tmp_path / "other"
    shutil.copytree(folder.adapter, other)
    config = json.loads((other / CONFIG).read_text())
    (other / CONFIG).write_text(json.dumps(config | {"lora_alpha": config["lora_alpha"] / 2}))
    older = tmp_path / "older"  # as adapters were written before: larger numbers, and the scale beside them
    shutil.copytree(folder.adapter, older)
    root = 8**0.5
    (older / CONFIG).write_text(json.dumps(config | {"lora_alpha": 8, "use_rslora": True}))
    numbers = load_file(older / WEIGHTS)
    numbers = {name: each.float() * (root / 8 if ".lora_B." in name else 1) for name, each in numbers.items()}
    save_file(numbers, older / WEIGHTS)
    apart = []
    for name, adapter in (("yawl", folder.adapter), ("brig", older), ("ketch", other)):
        version = VersionName(name, 1)
        publish(adapter, engine.paths.adapter(version), {"base_model": "demo"})
        parity = await measure_parity(engine.client, version, folder.read_parity(), "float32")
        assert parity.same_rendering and parity.tokens >= 300
        apart.append(parity.mean_difference)
    assert apart[0] < 1e-4
    assert apart[1] < 0.005
    assert apart[2] > parity.limit  # with half of the scale it would not be the same adapter


def _scales(model: torch.nn.Module) -> list[float]:
    return sorted({module.scaling["default"] for module in model.modules() if isinstance(module, Linear)})
