"""The model that is tuned: a base model loaded, its LoRA attached, saved as PEFT writes it, loaded again.

Only PEFT's own two files are written, the same bytes for the same weights. Knows nothing of data or losses.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from config.catalogue import IN_FOUR_BITS
from config.errors import BadInput, JobFailed
from tuning.training import four_bits
from tuning.training.memory import fits_without_saving
from tuning.training.run import TrainingRun

LARGE = 500_000_000
"""Parameters from which activations are computed again in the backward pass instead of kept."""

ALPHA = 8
"""Over the root of the rank it is how much an adapter's product counts while it is trained: 2 at rank 16. By the root,
and not by the rank itself, a step moves the model as much at one rank as at another: rsLoRA (Kalajdzievski, 2023)."""

Weights = dict[str, torch.Tensor]


def load_base(run: TrainingRun) -> Any:
    """The untouched model in the run's dtype, or in 4 bits, on its device. Raises BadInput or JobFailed with a
    sentence."""
    _check_memory(run)
    if run.device == "cuda" and not torch.cuda.is_available():
        raise JobFailed("The GPU this tuning was planned for is not there; start the tuning again to plan anew.")
    try:
        if run.four_bits:
            return four_bits.load(run)
        model = AutoModelForCausalLM.from_pretrained(run.model, dtype=getattr(torch, run.dtype))
    except SafetensorError as error:
        raise BadInput(f"The base model at {run.model} is damaged; fetch the model again.") from error
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"The base model at {run.model} cannot be read; check that it is whole, or choose another."
        ) from error
    return model.to(run.device)


def attach(base: Any, run: TrainingRun) -> PeftModel:
    """A fresh adapter on every linear layer but the output head, its start set by the seed."""
    torch.manual_seed(run.seed)
    save_memory(base, run)
    config = LoraConfig(
        r=run.rank,
        lora_alpha=ALPHA,
        use_rslora=True,
        lora_dropout=run.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return cast("PeftModel", get_peft_model(base, config))


def save_memory(base: Any, run: TrainingRun) -> None:
    """Where the run or the model's size asks for it: activations are computed again in the backward pass. A large card
    need not, as long as one conversation fits: a step that does not fit whole is taken in parts."""
    deep = run.gradient_checkpointing
    if deep is None:
        deep = base.num_parameters() > LARGE and not fits_without_saving(base, run.context)
    if deep:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def suggested_learning_rate(width: int) -> float:
    """Peak learning rate of a LoRA on a model of hidden size `width`.

    5e-5 · 10 · (2000 / width)^0.775: what LoRA Without Regret (Schulman et al., 2025) fitted over Llama models.
    """
    return float(5e-4 * (2000 / width) ** 0.775)


def trained(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters by name, always in the same order."""
    return {name: p for name, p in sorted(model.named_parameters()) if p.requires_grad}


@contextmanager
def untouched(model: PeftModel) -> Iterator[None]:
    """Inside, the model computes without its adapter."""
    with model.disable_adapter():
        yield


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write adapter_model.safetensors and adapter_config.json and nothing else.

    The numbers are bfloat16, in which every engine keeps them, and have the adapter's scale in them: whoever reads the
    file has exactly what an engine computes with, and half the bytes.
    """
    # The embeddings are never trained, and asking for them may reach out to a model hub.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    weights, described = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    for extra in set(folder.iterdir()) - {weights, described}:
        extra.unlink()
    config = json.loads(described.read_text())
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    config |= {"lora_alpha": config["r"], "use_rslora": False}
    config["target_modules"] = sorted(config["target_modules"])  # PEFT writes a set, in another order each time
    described.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    numbers = {
        name: (numbers.float() * scale if ".lora_B." in name else numbers).to(torch.bfloat16)
        for name, numbers in load_file(weights).items()
    }
    save_file(numbers, weights, metadata={"format": "pt"})


def load_adapter(base: Any, folder: Path) -> PeftModel:
    """A saved adapter on the base model it was trained on, for measuring."""
    return cast("PeftModel", PeftModel.from_pretrained(base, str(folder)).eval())


def _check_memory(run: TrainingRun) -> None:
    """Refuse what would only be killed half-way: weights of a local model that do not fit the free memory."""
    files = list(Path(run.model).glob("*.safetensors")) if Path(run.model).is_dir() else []
    if not files or run.device != "cpu":
        return
    each = (4 if run.dtype == "float32" else 2) * (IN_FOUR_BITS if run.four_bits else 1)
    need = sum(_parameters(file) for file in files) * each
    free = psutil.virtual_memory().available
    if need * 1.2 > free:
        raise JobFailed(
            f"Tuning this model needs about {need * 1.2 / 2**30:.1f} GB of free memory and there are "
            f"{free / 2**30:.1f}; close other programs or choose a smaller base model."
        )


def _parameters(file: Path) -> int:
    """Numbers in a safetensors file, by its header. Raises BadInput where it has none that can be read."""
    try:
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, struct.error, KeyError, OverflowError, MemoryError) as error:
        raise BadInput(f"The base model's file {file.name} is damaged; fetch the model again.") from error
    return sum(int(torch.Size(shape).numel()) for shape in shapes)
