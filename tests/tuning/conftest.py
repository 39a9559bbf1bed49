from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_training import small_llama

from config.catalogue import DEMO_FOLDER


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of stock shape that knows nothing yet, with the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(DEMO_FOLDER / name, folder)
    small_llama().save_pretrained(folder)
    return folder
