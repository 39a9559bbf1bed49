"""What tuning makes a model forget, with Parlance's defaults and without: real dialogues, domains the base never met.

    PARLANCE_DATA=FOLDER python -m bench.forgetting [--data FOLDER] [--dialogues 150] [--domain RentalCars] [--json]

Tunes on one domain of SGD that the demo's base model was never shown, twice with the same data, LoRA, learning rate and
epochs: once as Parlance does by default (general exchanges replayed, KL to the untouched model, an early stop that
watches both losses), once naively (none of these; the best weights by held-out loss). Then measures the domain's own
held-out dialogues, and what the base could do before: every other SGD domain it knows, and Topical-Chat. What is lost
is how much those losses grew. Each side trains in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from demo.training import corpus
from tuning.training.run import RunFolder, TrainingRun

MODEL = Path(__file__).resolve().parent.parent / "demo" / "model"
HELD_OUT = 50
OTHERS = 40
"""Dialogues measured of each other domain."""
NAIVE: dict[str, Any] = {"replay_share": 0.0, "own_share": 0.0, "kl_weight": 0.0, "general_limit": 1e9}
SIDES: dict[str, dict[str, Any]] = {"default": {}, "naive": NAIVE}


def of_domain(data: Path, domain: str) -> Iterator[list[dict[str, str]]]:
    """Dialogues of this domain alone."""
    for row in corpus._lines(data / "sgd-train.jsonl.gz"):
        if {str(service).rsplit("_", 1)[0] for service in row["services"]} == {domain}:  # type: ignore[attr-defined]
            yield [{"role": role, "content": text.strip()} for role, text in row["turns"]]  # type: ignore[attr-defined]


def known(data: Path) -> dict[str, list[list[dict[str, str]]]]:
    """What the base model could do before: dialogues it was not shown, of domains and a kind of talk that it knows."""
    found: dict[str, list[list[dict[str, str]]]] = defaultdict(list)
    for row in corpus._lines(data / "sgd-dev.jsonl.gz"):
        domains = {str(service).rsplit("_", 1)[0] for service in row["services"]}  # type: ignore[attr-defined]
        if len(domains) == 1 and not domains & set(corpus.HELD_OUT_DOMAINS):
            turns = [{"role": role, "content": text.strip()} for role, text in row["turns"]]  # type: ignore[attr-defined]
            found[domains.pop()].append(turns)
    chosen = {domain: chats[:OTHERS] for domain, chats in sorted(found.items()) if len(chats) >= OTHERS // 2}
    chosen["Topical-Chat"] = list(islice(corpus.topical_chat(data / "topical-chat.jsonl.gz"), OTHERS))
    return chosen


def write(file: Path, chats: list[list[dict[str, str]]]) -> None:
    """As curation writes conversations."""
    lines = (json.dumps({"messages": chat, "learn_from": 0, "at": at}) for at, chat in enumerate(chats))
    file.write_text("\n".join(lines))


def measure(adapters: dict[str, Path | None], groups: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Nats per learnt token of each adapter (None: the untouched model) on each group of dialogues."""
    import torch

    from serving.prompt import ChatTokenizer
    from tuning.training import lora
    from tuning.training.batches import collate, group, read_rows
    from tuning.training.losses import mean_loss

    tokenizer, run = ChatTokenizer(str(MODEL)), TrainingRun(model=str(MODEL))
    torch.set_num_threads(run.threads)
    batches = {}
    for name, file in groups.items():
        rows, _ = read_rows(file, tokenizer, "", run.context)
        batches[name] = [collate([rows[place] for place in places]) for places in group(rows, 4 * run.batch_tokens)]
    losses: dict[str, dict[str, float]] = {}
    for side, adapter in adapters.items():
        base = lora.load_base(run)
        model = base if adapter is None else lora.load_adapter(base, adapter)
        losses[side] = {name: mean_loss(model, found, lambda: None) for name, found in batches.items()}
    return losses


def compare(data: Path, domain: str, dialogues: int) -> dict[str, Any]:
    """Tune both ways and measure."""
    chats = list(islice(of_domain(data, domain), dialogues + HELD_OUT))
    if len(chats) < dialogues + HELD_OUT:
        raise SystemExit(f"There are only {len(chats)} dialogues of {domain}; ask for fewer with --dialogues.")
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as place:
        adapters: dict[str, Path | None] = {"untouched": None}
        spent = {}
        for side, settings in SIDES.items():
            folder = RunFolder(Path(place) / side)
            folder.folder.mkdir()
            write(folder.train, chats[:dialogues])
            write(folder.held_out, chats[dialogues:])
            run = TrainingRun(model=str(MODEL), **settings)
            folder.settings.write_text(run.model_dump_json())
            print(f"tuning: {side}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "tuning.training", str(folder.folder)], check=True)
            result = folder.read_result()
            if result is None:
                raise SystemExit("the trainer left no result")
            adapters[side], spent[side] = folder.adapter, result.seconds
        groups = {domain: folder.held_out}
        for name, heard in known(data).items():
            groups[name] = Path(place) / f"{name}.jsonl"
            write(groups[name], heard)
        print("measuring", file=sys.stderr)
        losses = measure(adapters, groups)
    before = losses["untouched"]
    others = [name for name in groups if name != domain]
    lost = {side: sum(losses[side][name] - before[name] for name in others) / len(others) for side in SIDES}
    return {
        "domain": domain, "dialogues": dialogues, "losses": losses, "lost": lost, "seconds": spent,
        "share_of_naive_loss": lost["default"] / lost["naive"],
        "worse_on_the_domain": losses["default"][domain] / losses["naive"][domain] - 1,
    }  # fmt: skip


def main() -> None:
    """Print a table, or with --json the same figures as one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PARLANCE_DATA", "data")))
    parser.add_argument("--domain", default="RentalCars", choices=corpus.HELD_OUT_DOMAINS)
    parser.add_argument("--dialogues", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.data / "sgd-train.jsonl.gz").exists():
        raise SystemExit("This needs the SGD and Topical-Chat files; name their folder with --data or PARLANCE_DATA.")
    found = compare(arguments.data, arguments.domain, arguments.dialogues)
    if arguments.json:
        print(json.dumps(found))
        return
    losses = found["losses"]
    print(f"{'nats per learnt token':24}{'untouched':>12}{'naive':>10}{'default':>10}")
    for name in losses["untouched"]:
        print(f"{name:24}{losses['untouched'][name]:12.3f}{losses['naive'][name]:10.3f}{losses['default'][name]:10.3f}")
    print(
        f"lost on all but {found['domain']}: naive {found['lost']['naive']:+.3f}, default "
        f"{found['lost']['default']:+.3f}, a share of {found['share_of_naive_loss']:.2f}"
    )
    print(f"on {found['domain']} the default is {found['worse_on_the_domain']:+.1%} from the naive run")


if __name__ == "__main__":
    main()
