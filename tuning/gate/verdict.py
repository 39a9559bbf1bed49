"""The verdict: from measurements to pass or fail, each reason a sentence that a non-programmer understands."""

from __future__ import annotations

from tuning.gate.report import Degenerate, General, HeldOut, Parity, percent


def reasons_against(held_out: HeldOut, general: General, parity: Parity, degenerate: Degenerate) -> list[str]:
    """Why the version may not serve; empty where it may."""
    reasons = []
    if held_out.version >= held_out.base:
        reasons.append("It does not predict this community's answers better than the untouched model.")
    if held_out.in_service is not None and held_out.version >= held_out.in_service:
        reasons.append(
            "It does not predict this community's answers better than the version in service "
            f"({percent(held_out.version / held_out.in_service - 1)} worse)."
        )
    if general.growth > general.limit:
        reasons.append(
            f"It has forgotten some of its general ability: {percent(general.growth)} worse, "
            f"where {percent(general.limit)} is allowed."
        )
    if not parity.same_rendering:
        reasons.append("The engine writes conversations down differently from how they were learnt.")
    elif parity.tokens < parity.tokens_needed:
        reasons.append(
            f"Too little text to compare trainer and engine: {parity.tokens} of {parity.tokens_needed} tokens."
        )
    elif parity.mean_difference > parity.limit:
        reasons.append(
            f"The engine computes other probabilities than the trainer did: {parity.mean_difference:.3f} apart, "
            f"where {parity.limit} is allowed."
        )
    if degenerate.share > degenerate.limit:
        reasons.append(
            f"{percent(degenerate.share)} of its answers repeat themselves, do not end or are empty, "
            f"where {percent(degenerate.limit)} is allowed."
        )
    return reasons


def summary(held_out: HeldOut, general: General, reasons: list[str]) -> str:
    """The whole report in one sentence."""
    if reasons:
        return f"It stays out of service: {reasons[0]}"
    than = "the untouched model"
    gain = held_out.better_than_base
    text = f"It predicts this community's answers {percent(gain)} better than {than}"
    if held_out.in_service is not None:
        text += f" and {percent(1 - held_out.version / held_out.in_service)} better than the version in service"
    change = general.growth
    kept = "kept its general ability" if change <= 0.005 else f"lost {percent(change)} of its general ability"
    return f"{text}, and {kept}."
