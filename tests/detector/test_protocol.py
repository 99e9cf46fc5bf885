"""The protocol: no test image, label or mask reaches training, threshold or normalisation; measuring changes nothing.

Shown by poison: whatever lies beside the good training images, the same bits are learnt."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import daad
from daad import Detector
from daad.cli import run
from daad.data.layouts import read_layout
from daad.data.splits import hold_out
from tests.images import Ints, save_png

STATISTICS = {"ae": ["standardise"], "daad": ["standardise"], "daad+": ["standardise", "balance"]}
Poison = Callable[[Path], object]
Row = dict[str, Any]
Opened = Callable[[Path, Callable[[], object]], set[str]]


def fit(data: Any, model: str = "daad+") -> Detector:
    statistics = dict.fromkeys(STATISTICS[model], True)
    return Detector.fit(data, model=model, size="nano", steps=3, batch_size=4, image_size=32, **statistics)


def learnt(detector: Detector) -> dict[str, Any]:
    """All that a fit leaves behind, but when it was and how long it took."""
    tensors = chain(detector.model.named_parameters(), detector.model.named_buffers())
    timeless = {"created": None, "training": detector.provenance["training"] | {"seconds": None}}
    return {
        "tensors": {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors},
        "preprocess": detector.preprocess.model_dump(),
        "calibration": detector.calibration.model_dump(),
        "provenance": detector.provenance | timeless,
    }


def hashes(*folders: Path) -> dict[Path, str]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def noise(shape: tuple[int, ...]) -> Ints:
    return np.random.default_rng(0).choice(np.array([0, 255], np.uint8), shape)


def files(change: Callable[[Path], object]) -> Poison:
    """Change every test image and mask."""
    return lambda root: [change(path) for part in ("test", "ground_truth") for path in (root / part).rglob("*.png")]


def pixels(change: Callable[[Ints], Ints]) -> Poison:
    return files(lambda path: Image.fromarray(change(np.asarray(Image.open(path)))).save(path))


def more(*folders: str) -> Poison:
    """Twenty images of noise, of another shape, to each folder."""
    places = [f"{folder}/added_{index}.png" for folder in folders for index in range(20)]
    return lambda root: [save_png(root / place, noise((64, 32, 3))) for place in places]


def swap_labels(root: Path) -> None:
    for source, target in (("good", "other"), ("spot", "good"), ("other", "spot")):
        (root / "test" / source).rename(root / "test" / target)


def call_defects_good(root: Path) -> None:
    for path in (root / "test" / "spot").iterdir():
        path.rename(root / "test" / "good" / f"spot_{path.name}")


POISONS: dict[str, Poison] = {
    "white": pixels(lambda image: np.full_like(image, 255)),
    "inverted": pixels(lambda image: 255 - image),
    "noise": pixels(lambda image: noise(image.shape)),
    "16 bits": pixels(lambda image: image.astype(np.uint16) * 257),
    "colour of another shape": pixels(lambda image: np.stack([image, 255 - image, image], axis=2).repeat(2, axis=1)),
    "truncated": files(lambda path: path.write_bytes(path.read_bytes()[:-30])),
    "garbage": files(lambda path: path.write_bytes(b"not an image")),
    "labels swapped": swap_labels,
    "defects called good": call_defects_good,
    "masks deleted": lambda root: shutil.rmtree(root / "ground_truth"),
    "more test images": more("test/good", "test/spot", "test/new", "test"),
    "images beside train/good": more("train/scratch", "train", "validation/good", "good", "."),
    "empty test folder": lambda root: (shutil.rmtree(root / "test"), (root / "test").mkdir()),
    "no test folder": lambda root: shutil.rmtree(root / "test"),
}
POISONED_ROWS: dict[str, Callable[[Row], Row | None]] = {
    "labels swapped": lambda row: row | {"label": 1 - row["label"]},
    "files missing": lambda row: row | {"path": f"nowhere/{row['path']}"},
    "masks of training images": lambda row: row | {"mask": "train/good/000.png"},
    "groups of training images": lambda row: row | {"group": 0},
    "no test rows": lambda _: None,
}


def manifest(root: Path, poison: Callable[[Row], Row | None] = dict, label: str | None = None) -> Path:
    """Poisoned test rows, then groups of two good images to learn from; with `label` also defects in training."""
    test = [{"path": s.name, "label": s.label, "split": "test"} for s in read_layout(root, split="test")]
    train = [
        {"path": sample.name, "label": 0, "split": "train", "group": index // 2}
        for index, sample in enumerate(read_layout(root, split="train"))
    ]
    if label is not None:
        test = [row | {"label": label, "split": "train"} for row in test if row["label"]]
    path = root / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "mask", "split", "group"])
        writer.writeheader()
        writer.writerows([*filter(None, map(poison, test)), *train])
    return path


@pytest.fixture(scope="module")
def clean(mvtec_folder: Path) -> dict[str, Detector]:
    torch.set_num_threads(1)
    return {model: fit(mvtec_folder, model) for model in STATISTICS}


@pytest.fixture
def copied(mvtec_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mvtec_folder, tmp_path / "copied"))


@pytest.fixture(scope="module")
def opened() -> Opened:
    """The folders below a root in which an action opens files, by whatever library and in whatever thread."""
    watched: list[set[Path]] = []  # a hook cannot be taken out again: it does nothing while this is empty

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            watched[-1].add(Path(os.fsdecode(arguments[0])).absolute())

    def opened_by(root: Path, action: Callable[[], object]) -> set[str]:
        watched.append(set())
        try:
            action()
        finally:
            paths = watched.pop()
        return {path.parent.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)}

    sys.addaudithook(note)
    return opened_by


@pytest.mark.parametrize("model", STATISTICS)
@pytest.mark.parametrize("poison", POISONS)
def test_poison_beside_the_good_training_images_changes_no_bit(
    clean: dict[str, Detector], copied: Path, poison: str, model: str
) -> None:
    before = hashes(copied)
    POISONS[poison](copied)
    assert hashes(copied) != before
    assert learnt(fit(copied, model)) == learnt(clean[model])


@pytest.mark.parametrize("model", STATISTICS)
@pytest.mark.parametrize("part", ["learnt", "held out"])
def test_poison_among_them_shows_and_what_is_held_out_only_calibrates(
    clean: dict[str, Detector], copied: Path, part: str, model: str
) -> None:
    learn, held_out = hold_out(read_layout(copied, split="train"), 0.2, 0)
    save_png(copied / (learn if part == "learnt" else held_out)[0].name, noise((48, 48, 1)))
    before, after = learnt(clean[model]), learnt(fit(copied, model))
    changed = {name for name, value in before["tensors"].items() if after["tensors"][name] != value}
    statistics = {"usual_error", "usual_spread", "spread"} & set(before["tensors"])
    assert before["calibration"] != after["calibration"]
    assert changed > statistics if part == "learnt" else not changed


def test_fitting_opens_no_test_file_and_measuring_no_training_file(
    clean: dict[str, Detector], copied: Path, opened: Opened
) -> None:
    assert opened(copied, lambda: fit(copied)) == {"train/good"}
    measured = opened(copied, lambda: clean["daad+"].evaluate(copied))
    assert measured == {"test/good", "test/spot", "ground_truth/spot"}


@pytest.mark.parametrize("poison", POISONED_ROWS)
def test_poisoned_test_rows_of_a_manifest_change_no_bit(copied: Path, opened: Opened, poison: str) -> None:
    expected = learnt(fit(manifest(copied)))
    poisoned = manifest(copied, POISONED_ROWS[poison])
    assert learnt(fit(poisoned)) == expected
    assert opened(copied, lambda: fit(poisoned)) == {".", "train/good"}  # "." has the manifest


@pytest.mark.parametrize("label", ["1", "defect", ""])
def test_training_rows_that_nobody_calls_good_are_neither_learnt_nor_opened(
    copied: Path, opened: Opened, label: str
) -> None:
    expected = learnt(fit(manifest(copied)))
    with_defects = manifest(copied, label=label)
    assert learnt(fit(with_defects)) == expected
    assert "test/spot" not in opened(copied, lambda: fit(with_defects))


def test_a_list_of_samples_keeps_the_same_rules(clean: dict[str, Detector], mvtec_folder: Path) -> None:
    test = read_layout(mvtec_folder, split="test")
    called_good = [replace(sample, label=0) for sample in test]
    in_training = [replace(sample, name=f"train/{sample.name}", label=1, split="train") for sample in test]
    samples = [*called_good, *read_layout(mvtec_folder, split="train"), *in_training]
    assert learnt(fit(samples)) == learnt(clean["daad+"])


def test_measuring_changes_no_bit_and_no_score_depends_on_its_company(mvtec_folder: Path, copied: Path) -> None:
    detector = fit(mvtec_folder)
    before = learnt(detector)
    rows = detector.evaluate(mvtec_folder).rows
    more("test/good", "test/new")(copied)
    (copied / "test" / "good" / "broken.png").write_bytes(b"not an image")
    for batch_size in (1, 5, 64):
        found = {row.name: row for row in detector.evaluate(copied, batch_size=batch_size).rows}
        # 1e-5: another batch size may sum in another order, in float32
        np.testing.assert_allclose([found[row.name].score for row in rows], [row.score for row in rows], rtol=1e-5)
        assert [found[row.name].is_anomalous for row in rows] == [row.is_anomalous for row in rows]
    assert learnt(detector) == before == learnt(fit(mvtec_folder))


def test_swapped_labels_turn_the_metrics_round_and_no_score(clean: dict[str, Detector], mvtec_folder: Path) -> None:
    samples = [replace(sample, mask=None) for sample in read_layout(mvtec_folder, split="test")]
    one = clean["ae"].evaluate(samples)
    other = clean["ae"].evaluate([replace(sample, label=1 - sample.label) for sample in samples])
    assert [replace(row, label=1 - row.label) for row in other.rows] == one.rows
    auroc = one.metrics["image_auroc"].value
    assert auroc != 0.5 and other.metrics["image_auroc"].value == pytest.approx(1 - auroc)
    assert other.metrics["false_alarm_rate"] == one.metrics["detection_rate"]


def test_the_command_line_keeps_the_protocol(copied: Path, mvtec_folder: Path, tmp_path: Path) -> None:
    swap_labels(copied)
    more("test/good")(copied)
    one, other = tmp_path / "made" / "one", tmp_path / "made" / "other"
    for data, output in ((mvtec_folder, one), (copied, other)):
        settings = ["--image-size", "32", "--steps", "3", "--set", "size=nano", "--set", "batch_size=4"]
        assert run(["fit", str(data), "-o", str(output), *settings]) == 0
    assert learnt(daad.load(one)) == learnt(daad.load(other))
    before = hashes(tmp_path / "made", mvtec_folder, copied)
    for data, options in ((mvtec_folder, []), (copied, ["--false-alarm-rate", "0.5"])):
        assert run(["evaluate", str(one), str(data), "-o", str(tmp_path / "report"), *options]) == 0
    assert hashes(tmp_path / "made", mvtec_folder, copied) == before
