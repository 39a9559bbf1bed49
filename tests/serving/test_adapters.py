"""Versions on disk, and what the engine's resolver lets through."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from adapter_making import random_adapter

from config import names
from config.catalogue import find_model
from config.errors import BadInput, Refused
from config.names import VersionName
from config.paths import Paths
from serving import resolver_plugin
from serving.adapters import MANIFEST, WEIGHTS, adapters_here, digest_of, ensure_untuned, publish, verify
from serving.resolver_plugin import AdaptersFolderResolver

NAME = VersionName("harbour", 1)


@pytest.fixture
def paths(home: Path) -> Paths:
    paths = Paths(home)
    paths.ensure()
    return paths


@pytest.fixture
def published(paths: Paths) -> Paths:
    publish(random_adapter(paths.jobs / "staged", seed=1), paths.adapter(NAME), {"base_model": "demo", "steps": 3})
    return paths


def test_a_published_version_verifies_and_is_counted(published: Paths) -> None:
    manifest = verify(published.adapter(NAME))
    assert (manifest.name, manifest.base_model, manifest.facts["steps"]) == ("harbour@v1", "demo", 3)
    assert manifest.digest == digest_of(published.adapter(NAME))
    assert adapters_here(published) == (1, 8)
    assert not (published.jobs / "staged").exists()


def test_a_version_is_never_written_twice(published: Paths) -> None:
    before = verify(published.adapter(NAME))
    other = random_adapter(published.jobs / "other", seed=2)
    with pytest.raises(Refused, match="harbour@v1"):
        publish(other, published.adapter(NAME), {"base_model": "demo"})
    assert verify(published.adapter(NAME)) == before


def test_nothing_is_published_from_a_folder_without_an_adapter(paths: Paths) -> None:
    (paths.jobs / "empty").mkdir()
    with pytest.raises(BadInput, match="no adapter"):
        publish(paths.jobs / "empty", paths.adapter(NAME), {"base_model": "demo"})
    assert not paths.adapter(NAME).exists()


def test_a_changed_byte_is_noticed(published: Paths) -> None:
    spoil(published.adapter(NAME) / WEIGHTS)
    with pytest.raises(BadInput, match="changed"):
        verify(published.adapter(NAME))


def test_the_zero_adapter_is_made_once_and_left_alone(paths: Paths) -> None:
    model = find_model("demo")
    name = ensure_untuned(paths, model)
    made = (paths.adapter(name) / WEIGHTS).stat()
    assert ensure_untuned(paths, model) == name == names.untuned("demo")
    assert (paths.adapter(name) / WEIGHTS).stat().st_mtime_ns == made.st_mtime_ns
    assert adapters_here(paths) == (0, 0)


def test_another_base_model_under_the_same_name_is_noticed(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    shape = json.loads((Path(find_model("demo").location) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(shape))
    ensure_untuned(paths, find_model(str(folder)))
    (folder / "config.json").write_text(json.dumps(shape | {"num_hidden_layers": 2}))
    with pytest.raises(BadInput, match="not the one this data folder was made with"):
        ensure_untuned(paths, find_model(str(folder)))


def test_the_plugin_and_the_platform_agree_on_what_a_version_is_called() -> None:
    assert resolver_plugin.VERSION_PATTERN == names.VERSION_PATTERN


def test_the_plugin_registers_nothing_where_no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(resolver_plugin.ADAPTERS_VARIABLE, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)  # importing vLLM would fail now
    resolver_plugin.register()


def test_numbers_of_names_are_positive_and_differ() -> None:
    numbers = {resolver_plugin.number_of(f"harbour@v{n}") for n in range(1000)}
    assert len(numbers) == 1000
    assert all(0 < number < 1 << 63 for number in numbers)


@pytest.mark.parametrize(
    "name",
    ["../harbour", "harbour/v1", "harbour@v01", "harbour@v1/", "harbour@v1\n", "Harbour@v1", "@v1", "harbour@v-1",
     "../adapters/harbour@v1", "harbour@v1/../v1", "/etc@v1", "harbour@v2", "", "harbour@v１"],
)  # fmt: skip
async def test_the_resolver_refuses_any_other_name(
    published: Paths, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert await AdaptersFolderResolver(published.adapters, "demo").resolve_lora("demo", name) is None
    assert "is refused" in caplog.text


async def test_the_resolver_refuses_changed_weights(published: Paths, caplog: pytest.LogCaptureFixture) -> None:
    spoil(published.adapter(NAME) / WEIGHTS)
    with caplog.at_level(logging.WARNING):
        assert await AdaptersFolderResolver(published.adapters, "demo").resolve_lora("demo", str(NAME)) is None
    assert "not those that its manifest states" in caplog.text


async def test_the_resolver_refuses_another_versions_manifest(published: Paths) -> None:
    published.adapter(NAME).rename(published.adapters / "harbour" / "v2")
    assert await AdaptersFolderResolver(published.adapters, "demo").resolve_lora("demo", "harbour@v2") is None


async def test_the_resolver_refuses_an_adapter_for_another_base_model(published: Paths) -> None:
    assert await AdaptersFolderResolver(published.adapters, "qwen3-4b").resolve_lora("demo", str(NAME)) is None


@pytest.mark.parametrize("linked", ["folder", WEIGHTS, MANIFEST])
async def test_the_resolver_refuses_links_that_leave_the_folder(published: Paths, tmp_path: Path, linked: str) -> None:
    place = published.adapter(NAME) if linked == "folder" else published.adapter(NAME) / linked
    away = tmp_path / "away"
    place.rename(away)
    place.symlink_to(away)
    assert await AdaptersFolderResolver(published.adapters, "demo").resolve_lora("demo", str(NAME)) is None


async def test_a_home_that_is_itself_a_link_still_works(published: Paths, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    (tmp_path / "door").symlink_to(published.home)
    resolver = AdaptersFolderResolver(tmp_path / "door" / "adapters", "demo")
    assert resolver_plugin.checked_folder(resolver.adapters, str(NAME), "demo") == published.adapter(NAME).resolve()


def spoil(file: Path) -> None:
    """Change one byte."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


@pytest.mark.parametrize("file", ["new_embeddings.bin", "adapter_model.pt", "deep/weights.pkl", "optimizer.ckpt"])
async def test_the_resolver_refuses_a_folder_with_a_file_that_could_run_code(
    published: Paths, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = published.adapter(NAME) / file
    place.parent.mkdir(exist_ok=True)
    place.touch()
    with caplog.at_level(logging.WARNING):
        assert await AdaptersFolderResolver(published.adapters, "demo").resolve_lora("demo", str(NAME)) is None
    assert "could run code" in caplog.text
