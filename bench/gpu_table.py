"""The figures as Markdown for docs/benchmarks.md: each with what was wanted. What was not measured says so.

Knows the names of figures and no way of measuring them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.gpu_results import Results

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what it is, where it stands, how it is shown (factor and format), and what was wanted."""

    label: str
    part: str
    name: str
    figure: str
    show: tuple[float, str]
    wanted: str = ""


TERAFLOPS, GIGABYTES, GIB = (1e-12, "{:.0f} TFLOP/s"), (1e-9, "{:.0f} GB/s"), (2.0**-30, "{:.1f} GiB")
WHOLE, SHARE, TIMES, NATS = (1.0, "{:,.0f}"), (100.0, "{:.1f}%"), (1.0, "{:.2f}"), (1.0, "{:.4f}")
MS, SECONDS = (1.0, "{:.1f} ms"), (1.0, "{:.1f} s")
WAYS = (("base", "the base alone"), ("1", "1 adapter"), ("64", "64 adapters"), ("512", "512 adapters"))
AT_ONCE = (64, 256)

ROWS = (
    Row("bf16 products", "card", "products", "flops", TERAFLOPS),
    Row("copy within the card", "card", "memory", "bytes_a_second", GIGABYTES),
    Row("to the card, 87 MB at once", "card", "transfer", "to_card_bytes_a_second", GIGABYTES),
    Row("training: tokens a second", "training", "ours", "tokens_a_second", WHOLE),
    Row("training: share of the card's products", "training", "ours", "share_of_card", SHARE, "45%"),
    Row("training: peak memory", "training", "ours", "peak_bytes", GIB),
    Row("SFTTrainer, checkpointing: tokens a second", "training", "trl_checkpointing", "tokens_a_second", WHOLE),
    Row("SFTTrainer, without: tokens a second", "training", "trl_no_checkpointing", "tokens_a_second", WHOLE),
    Row("times as fast as its faster setting", "training", "verdict", "times_trl", TIMES, "1.3"),
    Row("1,000 typical conversations tuned", "training", "thousand_conversations", "seconds", SECONDS, "minutes"),
    *(
        Row(f"{label}, {at} at once: tokens a second", "serving", f"{name}_at_{at}", "tokens_a_second", WHOLE)
        for at in AT_ONCE
        for name, label in WAYS
    ),
    *(
        Row(f"{label}, {at} at once: first token", "serving", f"{name}_at_{at}", "first_token_ms", MS)
        for at in AT_ONCE
        for name, label in WAYS
    ),
    *(
        Row(f"512 adapters' share of 1's, {at} at once", "serving", "verdict", f"most_of_one_at_{at}", SHARE, "90%")
        for at in AT_ONCE
    ),
    Row("an adapter never seen: its bytes take", "hotload", "floor", "floor_ms", MS),
    Row("an adapter never seen: first token", "hotload", "alone", "first_ms", MS),
    Row("one that is known: first token", "hotload", "alone", "known_ms", MS),
    Row("after a promotion, which warms: first token", "hotload", "alone", "after_warming_ms", MS, "100 ms"),
    Row("stall of 64 others by a load", "hotload", "among_others", "stall_ms", MS, "50 ms"),
    Row("gaps of others, p99, quiet", "hotload", "among_others", "quiet_p99_ms", MS),
    Row("gaps of others, p99, with loads", "hotload", "among_others", "with_loads_p99_ms", MS),
    Row("serving beside training: of its own tokens a second", "sharing", "verdict", "serving_kept", SHARE),
    Row("training beside serving: of its own tokens a second", "sharing", "verdict", "training_kept", SHARE),
    Row("to sleep", "sharing", "sleep", "sleep_seconds", SECONDS),
    Row("memory given back asleep", "sharing", "sleep", "freed_bytes", GIB),
    Row("to wake", "sharing", "sleep", "wake_seconds", SECONDS),
    Row("answers the same after waking", "sharing", "sleep", "same_share", SHARE, "100%"),
    Row("trainer and engine, LoRA: apart, nats", "correctness", "lora", "mean_difference", NATS),
    Row("trainer and engine, partial: apart, nats", "correctness", "partial", "mean_difference", NATS),
    Row("trainer and engine, full: apart, nats", "correctness", "full", "mean_difference", NATS),
)  # fmt: skip


def table(results: Results) -> str:
    """All rows. A rehearsal says above that its figures mean nothing."""
    head = [f"On {results.card}:" if not results.rehearsal else "A rehearsal, whose figures mean nothing:", ""]
    lines = ["| | measured | wanted |", "|---|---|---|"]
    for row in ROWS:
        value = results.get(row.part, row.name).get(row.figure)
        factor, text = row.show
        lines.append(
            f"| {row.label} | {NOT_MEASURED if value is None else text.format(factor * value)} | {row.wanted} |"
        )
    return "\n".join([*head, *lines])
