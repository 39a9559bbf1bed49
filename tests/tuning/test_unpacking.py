from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from config.errors import BadInput
from tuning.sources.detect import open_export
from tuning.sources.document import LARGEST_UNPACKED


def test_a_small_word_document_that_unpacks_to_more_than_fits_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "fees.docx"
    block = bytes(16 << 20)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        with packed.open("word/document.xml", "w") as part:
            for _ in range(LARGEST_UNPACKED // len(block) + 1):
                part.write(block)
    assert file.stat().st_size < 8 << 20
    with pytest.raises(BadInput, match="unpacks to"):
        list(open_export(file))
