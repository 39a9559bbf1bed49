"""Files of a version, looked at before the engine is asked for it."""

from __future__ import annotations

import os
import shutil

import pytest
from adapter_making import random_adapter

from config.errors import EngineUnavailable, NotFound
from config.names import VersionName
from config.paths import Paths
from config.settings import Settings
from serving import wholeness
from serving.adapters import CONFIG, WEIGHTS, publish, verify
from serving.wholeness import Wholeness

NAME = VersionName("harbour", 1)


@pytest.fixture
def paths(settings: Settings) -> Paths:
    settings.paths.ensure()
    for number in (1, 2):
        name = VersionName("harbour", number)
        publish(random_adapter(settings.paths.jobs / str(name), number), settings.paths.adapter(name), {})
    return settings.paths


async def test_a_whole_version_is_read_once(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(wholeness, "verify", lambda folder: (read.append(folder), verify(folder)))
    whole = Wholeness(paths)
    for _ in range(3):
        await whole.check(NAME)
    assert read == [paths.adapter(NAME)]


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
async def test_what_was_changed_after_it_was_found_whole_is_found_out(paths: Paths, file: str) -> None:
    whole, place = Wholeness(paths), paths.adapter(NAME) / file
    await whole.check(NAME)
    content = place.read_bytes()
    place.chmod(0o600)
    place.write_bytes(content[:-1])
    with pytest.raises(NotFound, match="harbour@v1"):
        await whole.check(NAME)
    with pytest.raises(NotFound):
        await Wholeness(paths).check(NAME)
    place.write_bytes(content)
    await whole.check(NAME)


async def test_another_file_of_the_same_size_and_time_is_found_out(paths: Paths) -> None:
    whole, place = Wholeness(paths), paths.adapter(NAME) / WEIGHTS
    await whole.check(NAME)
    before = place.stat()
    other = place.with_name("other")
    other.write_bytes(b"\0" * before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(place)
    with pytest.raises(NotFound):
        await whole.check(NAME)


async def test_a_deleted_version_is_not_there(paths: Paths) -> None:
    whole = Wholeness(paths)
    await whole.check(NAME)
    shutil.rmtree(paths.adapter(NAME))
    with pytest.raises(NotFound):
        await whole.check(NAME)
    await whole.check(VersionName("harbour", 2))


async def test_a_data_folder_that_went_away_is_no_versions_fault(paths: Paths) -> None:
    """Else every assistant would fall back to nothing because a disk was away for a moment."""
    whole = Wholeness(paths)
    await whole.check(NAME)
    away = paths.adapters.with_name("away")
    paths.adapters.rename(away)
    with pytest.raises(EngineUnavailable):
        await whole.check(NAME)
    away.rename(paths.adapters)
    await whole.check(NAME)
