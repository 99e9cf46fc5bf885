"""The page, contact sheet and table of an audit."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import daad
from daad.audit.audit import Audit
from daad.report.audit_page import write_audit
from daad.report.sheet import CAPTION, CELL, COLUMNS, Thumbnail, contact_sheet
from tests.images import save_png, striped


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("pool")
    images = striped(20, 40, 60, 1)
    images[0] = np.random.default_rng(0).integers(0, 256, (40, 60, 1))
    for index, image in enumerate(images):
        save_png(folder / f"<b>{index}.png", image)
    save_png(folder / "again.png", images[5])
    (folder / "broken.png").write_bytes(b"no image")
    return daad.audit(folder, model="mcod", size="nano", steps=4, memory_slots=4, image_size=32, contamination=0.1)


def test_the_files_are_written_and_the_page_is_valid(audit: Audit, tmp_path: Path) -> None:
    page = write_audit(audit, tmp_path / "out", top=8)
    assert {path.name for path in page.parent.iterdir()} == {
        "audit.csv",
        "contact_sheet.png",
        "daad-results.json",
        "index.html",
    }
    text = page.read_text()
    HTMLParser().feed(text)
    assert "<b>1.png" not in text and "&lt;b&gt;" in text
    assert "http://" not in text and "https://" not in text and "<script" not in text
    assert text.count('alt="anomaly map over') == 8
    assert "+1 alike" in text or audit.rows[0].group_size == 1
    assert "broken.png" in text
    assert page.stat().st_size < 5_000_000


def test_the_contact_sheet_has_a_thumbnail_for_each_image(audit: Audit, tmp_path: Path) -> None:
    write_audit(audit, tmp_path, top=COLUMNS + 1)
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.size == (COLUMNS * CELL, 2 * (CELL + CAPTION))


def test_a_caption_keeps_letters_beyond_ascii() -> None:
    thumbnails = [Thumbnail(np.zeros((8, 8, 3), np.uint8), "#1", name) for name in ("ß", "?", "ü")]
    captions = [np.asarray(contact_sheet([thumbnail]))[CELL + 15 :, :CELL] for thumbnail in thumbnails]
    assert not any(np.array_equal(captions[1], other) for other in (captions[0], captions[2]))


def test_a_map_nowhere_above_the_pool_is_shown_at_its_peak(audit: Audit, tmp_path: Path) -> None:
    high = replace(audit, map_threshold=1e9)
    text = write_audit(high, tmp_path, top=3).read_text()
    pairs = re.findall(r'class="pair">\s*<img src="([^"]+)"[^>]*>\s*<img src="([^"]+)"', text)
    assert len(pairs) == 3 and all(image != heat for image, heat in pairs)


def test_of_near_duplicates_one_is_shown(audit: Audit, tmp_path: Path) -> None:
    text = write_audit(audit, tmp_path, top=100).read_text()
    assert text.count('alt="anomaly map over') == len({row.group for row in audit.rows}) == 20


def test_a_deleted_image_is_reported_and_the_page_is_written(audit: Audit, tmp_path: Path) -> None:
    path = audit.samples[0].image
    content = path.read_bytes()
    path.unlink()
    try:
        text = write_audit(audit, tmp_path, top=5).read_text()
    finally:
        path.write_bytes(content)
    assert "Images ranked but not shown (1)" in text
