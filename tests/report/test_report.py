"""The report: one self-contained file that is safe, complete, and says what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from daad.data.sample import Failure, Sample
from daad.errors import ConfigError
from daad.report.cases import choose_cases, data_uri, display_shape, map_at
from daad.report.report import write_report
from daad.report.tables import headline, metric_table
from daad.runtime.evaluation import Row
from tests.report.conftest import GreyDetector, defective, good

SAMPLES = [*map(good, range(12)), *map(defective, range(10)), defective(3, with_mask=False, defect="dent")]
VOID = {"meta", "img", "br"}


class Balanced(HTMLParser):
    """Collects tags and text, and complains of a tag that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def page(detector, evaluated, tmp_path):
    """Write a report and give it back as text."""

    def write(samples=SAMPLES, detector=detector, change=lambda evaluation: evaluation, shown=None, **options):
        options.setdefault("cases", 2)
        evaluation = change(evaluated(detector, samples))
        path = write_report(detector, evaluation, samples if shown is None else shown, tmp_path / "out", **options)
        assert path == tmp_path / "out" / "index.html"
        return path.read_text(encoding="utf-8")

    return write


def test_the_report_is_one_file_without_references(page, tmp_path):
    html = page()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    assert "://" not in html
    for tag, attributes in Balanced(html).tags:
        assert tag not in {"script", "link", "iframe", "object"}
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))
    assert not re.search(r"@import|url\((?!#)", html)


def test_every_section_is_there(page):
    parsed = Balanced(page())
    ids = {attributes.get("id") for tag, attributes in parsed.tags if tag == "section"}
    assert ids == {"metrics", "plots", "pictures", "left-out", "data", "provenance"}
    for words in [
        "Of 12 good images, 0 were flagged (0.0 %; asked for: at most 5 %). Of 11 defective images, 11 were found",
        "The most certain hits",
        "Missed or nearly missed",
        "False alarms or nearest to it",
        "Typical good",
        "Image AUROC",
        "AUPRO 0.05",
        "scratch",
        "dent",
        "f17f17",
        "ca1ca1",
        "123",
        "nothing: they were only measured",
        "memory_items",
        "nested.learning_rate",
        "train/torn.png",
        "it is truncated",
        "12 s",
    ]:
        assert words in parsed.text, words


def test_names_are_escaped(page):
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(1)>.png'
    samples = [*SAMPLES, defective(9, name=hostile, defect="<b>bold</b>")]
    html = page(samples, title="<i>T</i>", shown=samples[:-1])
    shown = page(samples, change=lambda e: replace(e, failures=[Failure(hostile, hostile)], notes=[hostile]))
    for text in (html, shown):
        assert "script" not in {tag for tag, _ in Balanced(text).tags}
        assert "<script" not in text
        assert "<b>bold" not in text
        assert "onerror=alert(1)>" not in text
    assert "&lt;i&gt;T" in html


def test_names_that_no_encoding_holds_are_written(page):
    assert "bad?" in page([*SAMPLES, defective(9, name="bad\udc80.png")])


def test_good_images_are_not_warm_and_the_scale_is_the_same_on_all(page, monkeypatch):
    drawn = []
    real = __import__("daad.report.cases", fromlist=["heat_map"]).heat_map
    monkeypatch.setattr("daad.report.cases.heat_map", lambda *args: drawn.append((args, real(*args))) or drawn[-1][1])
    page()
    assert len({threshold for (_, threshold), _ in drawn}) == 1
    cool = [colours for (values, threshold), colours in drawn if values.max() <= threshold]
    assert cool
    assert all((colours[..., 2] >= colours[..., 0]).all() for colours in cool)


def test_only_the_chosen_images_are_judged_again(page, detector):
    page(cases=2)
    judged_again = detector.judged[len(SAMPLES) :]
    assert len(judged_again) == len(set(judged_again)) == 8


def test_pictures_of_a_case_and_columns_that_are_empty(page):
    captions = re.findall(r"<figcaption>([a-z ]+)</figcaption>", page(cases=1))
    full = ["image", "ground truth", "reconstruction", "anomaly map", "overlay"]
    assert captions == full * 2 + ["image", "reconstruction", "anomaly map", "overlay"] * 2


def test_further_pictures_of_a_model_are_shown(page, monkeypatch):
    judge = GreyDetector._judge
    pictures = {"impression": np.full((16, 16, 1), 99, np.uint8)}
    monkeypatch.setattr(GreyDetector, "_judge", lambda self, sample: replace(judge(self, sample), pictures=pictures))
    captions = re.findall(r"<figcaption>([a-z ]+)</figcaption>", page(cases=1))
    assert captions[:6] == ["image", "ground truth", "reconstruction", "impression", "anomaly map", "overlay"]


def test_a_model_without_reconstruction(page):
    assert ">reconstruction</figcaption>" not in page(detector=GreyDetector(reconstructs=False))


@pytest.mark.parametrize("samples", [SAMPLES[:5], SAMPLES[12:], SAMPLES[:1], SAMPLES[-1:]])
def test_one_class_still_gives_a_page(page, samples):
    text = Balanced(page(samples)).text
    assert "not available all test images are" in text
    assert "No ROC curve" in text
    assert "was not measured" in text
    assert "nan" not in text.lower().split()


def test_metrics_that_are_missing_say_why(detector, evaluated):
    evaluation = evaluated(detector, [*map(good, range(3)), defective(1, with_mask=False)])
    rows = {row.name: row for row in metric_table(evaluation)}
    assert rows["Pixel AUROC"].text == "not available"
    assert "no anomalous image has a usable mask" in rows["Pixel AUROC"].interval
    assert rows["Image AUROC"].value == 1.0


def test_equal_bounds_are_not_shown_as_an_interval(detector, evaluated):
    rows = {row.name: row for row in metric_table(evaluated(detector, SAMPLES))}
    assert rows["Image AUROC"].value == 1.0
    assert rows["Image AUROC"].low is None
    assert rows["False-alarm rate"].value == 0.0
    assert rows["False-alarm rate"].high > 0.1


def test_headline_counts_one_image_in_singular(detector, evaluated):
    text = headline(evaluated(detector, [good(0), defective(0)]), 0.01)
    assert text == (
        "Of 1 good image, 0 were flagged (0.0 %; asked for: at most 1 %). Of 1 defective image, 1 was found (100.0 %)."
    )


def test_the_calibration_note_is_shown(page):
    text = page(detector=GreyDetector(held_out=4))
    assert "4 held-out normal images can only promise" in text


def test_images_that_fail_now_are_skipped_with_a_note(page):
    torn = Sample(b"no image", "scratch/0.png", 1, defect="scratch")
    shown = [torn if sample.name == torn.name else sample for sample in SAMPLES if sample.name != "good/3.png"]
    text = Balanced(page(shown=shown, cases=6)).text
    assert "scratch/0.png not shown: " in text
    assert "good/3.png not shown: it is not among the samples" in text


def test_a_mask_that_does_not_fit_leaves_the_case_in(page):
    odd = replace(SAMPLES[14], mask=np.ones((40, 400), bool))
    shown = [odd if sample.name == odd.name else sample for sample in SAMPLES]
    assert f"{odd.name} shown without its ground truth" in Balanced(page(shown=shown, cases=6)).text


def test_the_page_stays_small_with_large_noisy_images(page):
    noise = np.random.default_rng(0).integers(0, 256, (700, 600, 3), dtype=np.uint8)
    samples = [Sample(noise[i:], f"{i}.png", i % 2, defect=None) for i in range(24)]
    assert len(page(samples, cases=6)) < 5_000_000


def test_zero_cases_and_wrong_arguments(page, detector, evaluated, tmp_path):
    assert '<article class="case">' not in page(cases=0)
    evaluation = evaluated(detector, SAMPLES)
    with pytest.raises(ConfigError, match="cases"):
        write_report(detector, evaluation, SAMPLES, tmp_path, cases=-1)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        write_report(detector, evaluation, SAMPLES, tmp_path / "file")


def rows_of(label, scores, flagged=True):
    return [Row(f"{label}/{score}", label, "x", float(score), 0.5, flagged, 0) for score in scores]


@pytest.mark.parametrize(("bad", "fine"), [(0, 0), (1, 0), (0, 1), (3, 3), (30, 40)])
def test_no_image_is_chosen_twice_and_the_extremes_always_are(bad, fine):
    groups = choose_cases(rows_of(1, range(bad)) + rows_of(0, range(fine)), 6)
    names = [row.name for group in groups for row in group.rows]
    assert len(names) == len(set(names)) == min(bad, 12) + min(fine, 12)
    if bad:
        assert groups[1].rows[0].score == 0
    if fine:
        assert groups[2].rows[0].score == fine - 1


def test_a_missed_image_is_never_called_a_hit():
    groups = choose_cases(rows_of(1, range(9), flagged=False) + rows_of(1, range(9, 11)), 6)
    assert [row.score for row in groups[0].rows] == [10, 9]


def test_a_small_peak_survives_the_display_size():
    values = np.zeros((3000, 1000), np.float32)
    values[1234, 567] = 5
    shape = display_shape(3000, 1000)
    assert shape == (512, 171)
    small = map_at(values, shape)
    assert small.shape == shape
    assert small.max() == 5
    assert (small > 0).sum() == 1
    assert map_at(values[:100, :100], display_shape(100, 100)).shape == (512, 512)


def test_pictures_that_do_not_fit_as_png_become_jpeg():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    assert data_uri(noise).startswith("data:image/jpeg;")
    assert len(data_uri(noise)) < 1.4 * 60_000
    assert data_uri(noise // 255).startswith("data:image/png;")
