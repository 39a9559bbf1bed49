"""The verdict: from measurements to pass or fail, each reason a sentence that a non-programmer understands."""

from __future__ import annotations

from tuning.gate.report import Degenerate, Gain, General, HeldOut, Parity, Recitation, percent


def reasons_against(
    held_out: HeldOut, general: General, parity: Parity, degenerate: Degenerate, recitation: Recitation
) -> list[str]:
    """Why the version may not serve; empty where it may."""
    reasons = []
    if reason := _no_gain(held_out, held_out.base, held_out.over_base, "the untouched model"):
        reasons.append(reason)
    if held_out.in_service is not None and (
        reason := _no_gain(held_out, held_out.in_service, held_out.over_in_service, "the version in service")
    ):
        reasons.append(reason)
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
    if recitation.recited:
        reasons.append(
            f"It repeats other people's messages word for word: {recitation.longest} tokens in a row, "
            f"where fewer than {recitation.limit} are allowed."
        )
    if recitation.secrets_told:
        reasons.append("It gives away private details from the chats that it learnt from.")
    return reasons


def _no_gain(held_out: HeldOut, before: float, gain: Gain | None, than: str) -> str | None:
    """Why it counts as no better than another; None where it is better."""
    if held_out.version >= before:
        worse = f" ({percent(held_out.version / before - 1)} worse)" if held_out.version > before else ""
        return f"It does not predict this community's answers better than {than}{worse}."
    if gain is not None and gain.low <= 0:
        return (
            f"There is no proof of improvement over {than}: it seems {percent(1 - held_out.version / before)} better, "
            f"which can be chance with {held_out.conversations} conversations to measure on."
        )
    return None


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
