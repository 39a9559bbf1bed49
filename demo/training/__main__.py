"""Train the demo's base model from nothing, on the two dialogue data sets, in the time it is given.

    python -m demo.training --data FOLDER --hours 2

Reads top to bottom: tokenizer, token ids, model, optimizer, loop, files. The learning rate follows the
clock, so a machine of any speed ends with a finished model; killed, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.training import corpus, tokenizer

CONTEXT = 1024
TRAIN_LENGTH = 512
BATCH_TOKENS = 8192


def shape(vocabulary: int) -> LlamaConfig:
    """A stock Llama of about 5.5M parameters: small enough for two cores, deep enough to follow a chat."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )


def encode(chats: list[list[corpus.Message]], tokens: PreTrainedTokenizerFast) -> list[list[int]]:
    """Token ids of each chat as served, cut to the training length."""
    texts = [tokens.apply_chat_template(chat, tokenize=False) for chat in chats]
    return [ids[:TRAIN_LENGTH] for ids in tokens(texts, add_special_tokens=False)["input_ids"]]


def batches(rows: list[list[int]], rng: random.Random) -> list[torch.Tensor]:
    """Rows of like length together, padded with -1; each batch holds about BATCH_TOKENS; order shuffled."""
    rows = sorted(rows, key=lambda row: len(row) + rng.random() * 16)
    made, start = [], 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and (end - start + 1) * len(rows[end]) <= BATCH_TOKENS:
            end += 1
        width = max(len(row) for row in rows[start:end])
        made.append(torch.tensor([row + [-1] * (width - len(row)) for row in rows[start:end]]))
        start = end
    rng.shuffle(made)
    return made


def loss_of(model: LlamaForCausalLM, batch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Mean next-token loss in nats. Rows are padded on the right, so causal attention needs no mask."""
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
        logits = model(input_ids=batch.clamp(min=0), use_cache=False).logits[:, :-1]
    return cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), ignore_index=-1)


def main() -> None:
    """Train, and write the model with its tokenizer and `training.json`."""
    ask = argparse.ArgumentParser(prog="python -m demo.training", description=__doc__.split("\n", 1)[0])
    ask.add_argument("--data", type=Path, required=True, help="folder with sgd-*.jsonl.gz and topical-chat.jsonl.gz")
    ask.add_argument("--out", type=Path, default=Path("demo/model"), help="where the model's files go")
    ask.add_argument("--work", type=Path, default=Path("demo/.work"), help="where the checkpoint goes")
    ask.add_argument("--hours", type=float, default=2.0, help="how long to train")
    ask.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (processors with AVX512-BF16 or AMX)")
    asked = ask.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    dtype = torch.bfloat16 if asked.bf16 else torch.float32
    rng = random.Random(0)
    torch.manual_seed(0)

    train = list(corpus.sgd(asked.data / "sgd-train.jsonl.gz"))
    chats = list(corpus.topical_chat(asked.data / "topical-chat.jsonl.gz"))
    dev = list(corpus.sgd(asked.data / "sgd-dev.jsonl.gz"))[:120] + chats[:60]
    train += chats[60:]
    tokens = tokenizer.train((m["content"] for chat in train for m in chat), asked.out, CONTEXT)
    dev_batches = batches(encode(dev, tokens), rng)

    model = LlamaForCausalLM(shape(len(tokens)))
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "embed" not in n)]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.05, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    print(f"{model.num_parameters():,} parameters, {len(train):,} dialogues", flush=True)

    spent, seen, step, epoch = 0.0, 0, 0, 0
    checkpoint = asked.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        spent, seen, step, epoch = state["spent"], state["seen"], state["step"], state["epoch"]
        print(f"going on at step {step}, {spent / 60:.0f} minutes in", flush=True)

    def measure() -> float:
        model.eval()
        with torch.no_grad():
            value = sum(float(loss_of(model, batch, dtype)) for batch in dev_batches) / len(dev_batches)
        model.train()
        return value

    def save() -> None:
        state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
        state |= {"spent": spent, "seen": seen, "step": step, "epoch": epoch}
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        kept = LlamaForCausalLM(model.config).to(torch.bfloat16)
        kept.load_state_dict(model.state_dict())
        kept.save_pretrained(asked.out)

    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    clock, saved_at = time.monotonic(), spent
    budget = asked.hours * 3600
    model.train()
    while spent < budget:
        epoch += 1
        epoch_rng = random.Random(epoch)
        for batch in batches(encode([corpus.dressed(chat, epoch_rng) for chat in train], tokens), epoch_rng):
            done = spent / budget
            rate = min(1.0, (step + 1) / 100) * min(1.0, max(0.0, 1 - done) / 0.5 + 0.01)
            for group, peak in zip((g for o in optimizers for g in o.param_groups), peaks, strict=True):
                group["lr"] = peak * rate
            loss = loss_of(model, batch, dtype)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            step, seen = step + 1, seen + int((batch >= 0).sum())
            now = time.monotonic()
            spent, clock = spent + now - clock, now
            if step % 20 == 0:
                print(
                    f"step {step} epoch {epoch} tokens {seen:,} loss {loss.item():.3f} minutes {spent / 60:.1f}",
                    flush=True,
                )
            if spent - saved_at > 600 or spent >= budget or stopping:
                saved_at = spent
                print(f"dev loss {measure():.4f} at {seen:,} tokens, {spent / 60:.0f} minutes", flush=True)
                save()
            if stopping:
                return
            if spent >= budget:
                break

    dev_loss = measure()
    facts = {
        "parameters": model.num_parameters(),
        "tokens": seen,
        "epochs": epoch,
        "steps": step,
        "hours": spent / 3600,
    }
    facts |= {"dev_loss": dev_loss, "dev_perplexity": math.exp(dev_loss), "held_out_domains": corpus.HELD_OUT_DOMAINS}
    (asked.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
