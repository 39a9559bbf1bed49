"""Only well-formed names get near a path."""

import pytest

from config.errors import BadInput
from config.names import VersionName, assistant_name, untuned


@pytest.mark.parametrize("text", ["harbour@v1", "a@v0", "garden_2-x@v999999"])
def test_a_version_name_survives_parsing(text: str) -> None:
    assert str(VersionName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["../x@v1", "harbour@v01", "harbour@v-1", "Harbour@v1", "harbour", "harbour@v1/..", "harbour@v1\n", "h@v1 ", "@v1",
     "harbour@v1234567", "härbour@v1", "a" * 41 + "@v1"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        VersionName.parse(text)


@pytest.mark.parametrize("text", ["", "Harbour", "1st", "a b", "../up", "base-demo", "x\n"])
def test_names_that_no_assistant_may_have(text: str) -> None:
    with pytest.raises(BadInput):
        assistant_name(text)


@pytest.mark.parametrize("model", ["demo", "Qwen/Qwen3-0.6B", "a" * 80, "Модель"])
def test_every_base_model_has_a_well_formed_untuned_name(model: str) -> None:
    name = untuned(model)
    assert VersionName.parse(str(name)) == name
