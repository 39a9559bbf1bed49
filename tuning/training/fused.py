"""PEFT's LoRA layers computed with fewer passes over memory: same adapter, same mathematics, less time.

On a processor a small model spends much of its time outside the large products: PEFT draws a random number for every
element it may drop, and scales and adds each low-rank output in passes of their own. Here eight elements share one
random draw, and scale and addition ride along with the product. Of a bfloat16 model, which is what a GPU trains, PEFT
makes a float32 copy of every layer's input and the low-rank products in float32; here all products are in bfloat16, and
only the adapter's weights and their gradients are float32. Where the processor multiplies bfloat16 itself and a
frozen weight is a bfloat16 number anyway, as in most published models, its products are made in bfloat16; what is
learnt, the optimizer, the losses and everything between the layers stay in float32. Only layers with plain weights are
taken over; all others stay as PEFT made them. Knows nothing of data or losses.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch.nn.functional import linear

_STEPS = 256
"""A byte of chance decides over one element, so a share dropped is a multiple of 1/256."""


_ON_PROCESSOR = (torch.float32, "cpu")
"""A float32 model on a card stays PEFT's: nobody trains one there."""


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def fuse(model: PeftModel, *, bfloat16: bool, adapter: str = "default") -> int:
    """Take over the layers that can be; how many that were. `bfloat16`: make the products of float32 layers in it where
    that is exact."""
    taken = 0
    for module in model.modules():
        if isinstance(module, Linear) and _plain(module, adapter):
            module.forward = _Fused(module, adapter, bfloat16)
            taken += 1
    return taken


def part(model: PeftModel) -> None:
    """Give every layer back to PEFT."""
    for module in model.modules():
        if isinstance(module, Linear):
            module.__dict__.pop("forward", None)


def _plain(module: Any, adapter: str) -> bool:
    base = module.get_base_layer()
    return (
        type(base) is torch.nn.Linear
        and (base.weight.dtype is torch.bfloat16 or (base.weight.dtype, base.weight.device.type) == _ON_PROCESSOR)
        and set(module.lora_A) == {adapter}
        and not module.lora_variant
        and module.lora_B[adapter].bias is None
    )


class _Fused:
    """Stands in for one layer's forward."""

    def __init__(self, layer: Any, adapter: str, bfloat16: bool) -> None:
        base = layer.get_base_layer()
        halved = base.weight.detach().to(torch.bfloat16)
        self._weight = halved if bfloat16 and torch.equal(halved.float(), base.weight) else base.weight.detach()
        self._layer, self._bias = layer, base.bias
        self._down, self._up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        self._scale = layer.scaling[adapter]
        self._dropped = round(getattr(layer.lora_dropout[adapter], "p", 0.0) * _STEPS)

    def __call__(self, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        if self._layer.disable_adapters:
            return _base(x, self._weight, self._bias).to(x.dtype)
        flat = x.reshape(-1, x.shape[-1])
        drops = self._layer.training and self._dropped
        keep = None
        if drops:
            half = x.dtype is torch.bfloat16
            keep = _keep_marks(flat, self._dropped) if half else _keep(flat, self._dropped, self._weight.dtype)
        scale = self._scale if keep is None else self._scale / (1 - self._dropped / _STEPS)
        made: torch.Tensor = _LowRank.apply(flat, keep, self._weight, self._bias, self._down, self._up, scale)
        return made.view(*x.shape[:-1], made.shape[-1])


def _base(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return linear(x.to(weight.dtype), weight, None if bias is None else bias.to(weight.dtype))


_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


def _keep(x: torch.Tensor, dropped: int, dtype: torch.dtype) -> torch.Tensor:
    """All bits set for what stays and none for what goes, of the shape of `x`, as wide as `dtype`.

    Bits, because torch converts a bool to a number so slowly that it would cost more than a product.
    """
    count = x.numel()
    chance = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None)
    bits = chance.view(torch.int8)[:count].view(x.shape).to(_BITS[dtype])
    # Below zero, and so all ones when shifted, for each byte of -128 … 127 that is not among the `dropped` lowest.
    return bits.neg_().add_(dropped - 129).bitwise_right_shift_(31 if dtype is torch.float32 else 15)


def _keep_marks(x: torch.Tensor, dropped: int) -> torch.Tensor:
    """The same as bools, of half the size: a card has no trouble with these, and they are kept until the backward
    pass."""
    count = x.numel()
    chance = torch.empty(-(-count // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    return chance.view(torch.int8)[:count].view(x.shape) >= dropped - 128


def _kept(x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    if keep is None:
        return x
    return x * keep if keep.dtype is torch.bool else (x.view(keep.dtype) & keep).view(x.dtype)


class _LowRank(torch.autograd.Function):
    """x Wᵀ + b + s · (keep ⊙ x) Aᵀ Bᵀ in the dtype of W, with gradients for x, A and B; W and b are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        keep: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        ctx.given = x.dtype
        x, down, up = (given.to(weight.dtype) for given in (x, down, up))
        low = _kept(x, keep) @ down.t()
        ctx.save_for_backward(x, keep, weight, down, up, low)
        ctx.scale = scale
        return _base(x, weight, bias).addmm_(low, up.t(), alpha=scale).to(ctx.given)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        x, keep, weight, down, up, low = ctx.saved_tensors
        grad = grads[0].to(weight.dtype)
        grad_low = (grad @ up).mul_(ctx.scale)
        grad_up = (grad.t() @ low).float().mul_(ctx.scale)
        grad_down = (grad_low.t() @ _kept(x, keep)).float()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _kept(grad_low @ down, keep).addmm_(grad, weight).to(ctx.given)
        return grad_x, None, None, None, grad_down, grad_up, None
