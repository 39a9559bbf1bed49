"""Curation: from stored messages to training examples, each step counted in the funnel.

messages → those with consent → cleaned of what is no talk → conversations → those that the speaker answers → private
details replaced → examples → near-duplicates removed → split by time. Imported chats and taught answers carry their
operator's word for consent; in channels' own logs it is each author's (tuning/sources/channel_log.py). Everything is a
stream; memory does not grow with the log, save for 17 bytes an example and the lineage of what is learnt. Knows neither
tokens nor models; the system prompt is not in the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput
from store.database import Database
from store.tables import Assistant
from tuning.cleaning import Removed, cleaning_of
from tuning.draft import Draft
from tuning.funnel import Step
from tuning.gathering import MIN_EXAMPLES, Gathering
from tuning.held_out import FEWEST_HELD_OUT
from tuning.private.names import Names, model_for
from tuning.reading import Reading, Say
from tuning.redacting import Redacted, Redacting
from tuning.samples import Samples
from tuning.sources import channel_log
from tuning.training.run import sync_folder
from tuning.voted import PlainVote, plain_votes, write_votes

SECRETS = "secrets.txt"
"""Digests of the private details that were replaced, for the gate to look for in answers."""


@dataclass(frozen=True, slots=True)
class Curated:
    """What came of it. `people`: who speaks in the answered conversations, the speaker too. `redacted`: details
    replaced, by kind. `removed`: a few texts that each step of cleaning left out. `lineage`: source → ascending rows of
    the messages learnt from; empty when only measured. `messages`: those that may be learnt from."""

    messages: int
    conversations: int
    examples: int
    train: int
    held_out: int
    people: int
    funnel: tuple[Step, ...]
    redacted: dict[str, int] = field(default_factory=dict)
    removed: tuple[Removed, ...] = ()
    lineage: dict[int, list[int]] = field(default_factory=dict)


async def curate(database: Database, assistant_id: int, folder: Path, say: Say) -> Curated:
    """Write `train.jsonl` and `held_out.jsonl` into `folder`, a line {"messages", "learn_from", "at"} each, and SECRETS
    where private details were found.

    All of it is on the disk when this returns. Raises BadInput where there is too little to learn and to measure;
    neither file is written then.
    """
    await channel_log.note_sources(database, assistant_id)
    with Draft(folder) as draft:
        async with database.long_session() as session:
            redacting = Redacting(await _names(session, assistant_id))
            reading, gathering, votes = await _run(session, assistant_id, draft, redacting, say)
        curated = _result(reading, gathering)
        require_enough(curated)
        lineage = draft.split(gathering.held_out())
        write_votes(folder, votes, lineage)
        if secrets := redacting.secrets - redacting.meant:
            (folder / SECRETS).write_text("\n".join(sorted(secret.hex() for secret in secrets)))
    sync_folder(folder)  # whoever notes that this is done may rely on it
    return replace(curated, lineage=lineage)


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


async def measure(session: AsyncSession, assistant_id: int, say: Say = silent) -> Curated:
    """The same counts without writing any text, as this session sees the store; of very much, near ones (Reading)."""
    reading, gathering, _ = await _run(
        session, assistant_id, None, Redacting(), say
    )  # names change no count of messages
    return _result(reading, gathering)


async def redactions(
    session: AsyncSession, assistant_id: int, limit: int, say: Say = silent
) -> tuple[list[Redacted], dict[str, int]]:
    """Messages as they are and as they would be learnt, at most `limit`, rare kinds of details first; and how many
    details there are, by kind. Stores nothing."""
    samples: dict[tuple[str, ...], Samples[Redacted]] = {}

    def changed(message: Redacted) -> None:
        samples.setdefault(message.kinds, Samples(limit)).offer(message)

    redacting = Redacting(await _names(session, assistant_id), changed)
    await _run(session, assistant_id, None, redacting, say)
    rare_first = sorted(samples.values(), key=lambda found: len(found.kept))
    taken: list[Redacted] = []
    for number, found in enumerate(rare_first):
        taken.extend(found.kept[: max(1, (limit - len(taken)) // (len(rare_first) - number))])
    return taken[:limit], dict(redacting.counts)


async def _names(session: AsyncSession, assistant_id: int) -> Names | None:
    model = model_for(cleaning_of(await session.get_one(Assistant, assistant_id)).language)
    return Names(model) if model else None


async def _run(
    session: AsyncSession, assistant_id: int, draft: Draft | None, redacting: Redacting, say: Say
) -> tuple[Reading, Gathering, list[PlainVote]]:
    cleaning = cleaning_of(await session.get_one(Assistant, assistant_id))
    reading = Reading(cleaning, recorded=draft is not None, quick=draft is None)
    gathering = Gathering(cleaning, draft, redacting)
    async for given, conversations in reading.batches(session, assistant_id, say):
        gathering.take(given, conversations)
    gathering.finish()
    return reading, gathering, plain_votes(reading.votes, redacting)


def _result(reading: Reading, gathering: Gathering) -> Curated:
    held, total = int(gathering.held_out().sum()), gathering.examples
    samples = [*(sieve.samples for sieve in reading.sieves.sieves), gathering.duplicates]
    return Curated(
        messages=reading.messages,
        conversations=reading.conversations,
        examples=total,
        train=total - held,
        held_out=held,
        people=gathering.people,
        funnel=(
            *reading.steps(),
            *gathering.steps(),
            Step("for learning", total, total - held),
            Step("for measuring", total, held),
        ),
        redacted=dict(gathering.redacted),
        removed=tuple(removed for found in samples for removed in found.kept),
    )


def wanting(curated: Curated) -> str | None:
    """What is wanted before a version can be learnt, as a sentence; None where there is enough."""
    if curated.examples >= MIN_EXAMPLES and curated.train and curated.held_out >= FEWEST_HELD_OUT:
        return None
    there = "is only 1 example" if curated.examples == 1 else f"are only {curated.examples} examples"
    return (
        f"There {there} of the speaker answering somebody, and it takes {MIN_EXAMPLES} to learn and to measure; import "
        "more, teach some by hand, or choose a speaker who answers more."
    )


def require_enough(curated: Curated) -> None:
    """Raises BadInput where there is too little to learn and to measure."""
    if sentence := wanting(curated):
        raise BadInput(sentence)
