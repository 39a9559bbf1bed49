"""Whether the engine that runs here, or the next one, is large enough for what is in use."""

from __future__ import annotations

from config.catalogue import find_model
from config.settings import Settings
from console.doctor.finding import Finding
from serving.ownership import live_record
from serving.sizing import Size, at_its_limit, in_use, outgrown, planned
from store.database import Database


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group."""
    model = find_model(settings.base_model)
    use = await in_use(database, settings.paths, model)
    then = Size.of(planned(settings.paths, model, sharing=settings.sharing, context=settings.context))
    limit = at_its_limit(use, then)
    record = live_record(settings.paths)
    if record is not None and record.size is not None:
        why = outgrown(record.size, use, then)
        if why is not None:
            advice = "It is exchanged for a larger one at a quiet moment; to have that now, start Parlance again."
            return [Finding("Engine size", "warning", f"the engine is too small: {why}", advice)]
    if limit is not None:
        advice = "Take assistants out of service, or give the machine more memory."
        return [Finding("Engine size", "warning", limit.rstrip("."), advice)]
    size = record.size if record is not None and record.size is not None else then
    many = f"{use.adapters} adapter{'' if use.adapters == 1 else 's'} in use"
    return [Finding("Engine size", "ok", f"{many}, room for {size.slots} at once and {size.kept} in memory")]
