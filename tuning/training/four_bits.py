"""A base learnt on in 4 bits, where memory has no room for it as it is (QLoRA: Dettmers et al., 2023).

Its linear layers but the output head are held as NF4 with double quantisation; embeddings, norms and the adapter are
as ever. What is learnt is served on the base as it is, so what the engine is compared with must be computed on that:
after `read_whole` each of these layers takes its own weight out of the model's files for every pass, in the room of one
layer. Knows nothing of data, losses or adapters.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from config.errors import BadInput, JobFailed
from tuning.training.run import TrainingRun


def load(run: TrainingRun) -> Any:
    """The base on the run's device, in 4 bits, products in the run's dtype.

    Raises JobFailed without bitsandbytes, BadInput where its files do not hold each layer's weight as the model has it,
    and what transformers raises where they cannot be read.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise JobFailed(
            "To learn in this little memory takes the package bitsandbytes; run make install, then try again."
        )
    dtype = getattr(torch, run.dtype)
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    model = AutoModelForCausalLM.from_pretrained(
        run.model, dtype=dtype, quantization_config=nf4, device_map={"": run.device}
    )
    files = _Files(run.model)
    for name, layer in _layers(model).items():
        if files.name_of(name, model, layer) is None:
            raise BadInput(
                f"The files of the base model at {run.model} are of a kind that cannot be learnt on in 4 bits, which "
                "is all that fits here; choose another base model."
            )
        # Once measured on a processor with AVX512-BF16, a layer would be packed so that no gradient passes any more.
        layer.support_avx512bf16_for_cpu = False
    return model


def read_whole(model: Any, run: TrainingRun) -> None:
    """From now on the layers of `model`, a base of `load` with an adapter or without, compute with the base's own
    weights. For measuring: what they held in 4 bits is gone."""
    files = _Files(run.model)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name, layer in _layers(base).items():
        key = files.name_of(name.replace(".base_layer", ""), base, layer)
        if key is None:
            raise BadInput(f"The base model at {run.model} has changed meanwhile; start the tuning again.")
        layer.forward = _Whole(files, key, layer.bias, getattr(torch, run.dtype))
        layer.weight = None


def _layers(model: Any) -> dict[str, Any]:
    """Those held in 4 bits, by name."""
    from bitsandbytes.nn import Linear4bit

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


class _Files:
    """The base model's weights as they lie in its safetensors files. `location`: a folder or a hub id already here."""

    def __init__(self, location: str) -> None:
        folder = Path(location)
        if not folder.is_dir():
            folder = Path(snapshot_download(location, allow_patterns=["*.safetensors"], local_files_only=True))
        opened = [safe_open(file, framework="pt") for file in sorted(folder.glob("*.safetensors"))]
        self._file = {key: file for file in opened for key in file.keys()}  # noqa: SIM118 -- not a dict

    def name_of(self, name: str, model: Any, layer: Any) -> str | None:
        """Under which name the weight of the model's layer `name` is there, in its shape; None where it is not."""
        for key in (f"{name}.weight", f"{name.removeprefix(model.base_model_prefix + '.')}.weight"):
            if key in self._file and self._file[key].get_slice(key).get_shape() == list(layer.weight.quant_state.shape):
                return key
        return None

    def weight(self, key: str) -> torch.Tensor:
        """(out, in), on the processor."""
        found: torch.Tensor = self._file[key].get_tensor(key)
        return found


class _Whole:
    """Stands in for a layer's forward."""

    def __init__(self, files: _Files, key: str, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        self._files, self._key, self._bias, self._dtype = files, key, bias, dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        weight = self._files.weight(self._key).to(x.device, self._dtype)
        return linear(x.to(self._dtype), weight, None if self._bias is None else self._bias.to(self._dtype)).to(x.dtype)
