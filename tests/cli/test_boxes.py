"""`daad boxes` end to end: its files, output and exit status, and from proposals to a detector."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from daad.cli import run
from daad.data.box_set import read_boxes
from daad.errors import ImageError
from tests.boxes.conftest import write_data
from tests.images import save_png, spotted, striped

FIT = ["--image-size", "64", "--steps", "3", "--set", "size=nano", "--set", "batch-size=8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_data(folder, "train", range(20))
    return write_data(folder, "test", range(1000, 1006))


@pytest.fixture(scope="module")
def detector(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("boxes-cli") / "boxes"
    assert run(["boxes", "fit", str(data), "-o", str(path), *FIT]) == 0
    return path


def test_fit_prints_a_summary_and_resumes(data: Path, detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (detector.with_name("boxes.run") / "log.csv").is_file()
    assert run(["boxes", "fit", str(data), "-o", str(detector), *FIT, "--resume"]) == 0
    output = capsys.readouterr().out
    assert "boxes of 2 classes learnt from 18 images" in output and "boxes are shown from score" in output


def test_predict_writes_csv_pictures_and_coco(data: Path, detector: Path, tmp_path: Path) -> None:
    common = ["boxes", "predict", str(detector), str(data / "images"), "--min-score", "0.01"]
    assert run([*common, "-o", str(tmp_path / "detections.csv"), "--pictures", str(tmp_path / "pictures")]) == 0
    with (tmp_path / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {path.name for path in (data / "images").iterdir()}
    boxes = [row for row in rows if row["label"]]
    assert boxes and all(float(row["right"]) > float(row["left"]) for row in boxes)
    pictures = sorted((tmp_path / "pictures").glob("*_boxes.png"))
    assert len(pictures) == 26 and Image.open(pictures[0]).size == (384, 384)
    assert run([*common, "-o", str(tmp_path / "detections.json")]) == 0
    from_coco = read_boxes(tmp_path / "detections.json", split="train", images=data / "images")
    assert sum(len(sample.boxes) for sample in from_coco.samples) == len(boxes)


def test_a_damaged_image_is_recorded_and_the_others_are_predicted(data: Path, detector: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / "images", tmp_path / "images"))
    (folder / "test000.png").write_bytes(b"broken")
    assert run(["boxes", "predict", str(detector), str(folder), "-o", str(tmp_path / "detections.csv")]) == 1
    with (tmp_path / "detections.csv").open(newline="") as file:
        errors = {row["name"]: row["error"] for row in csv.DictReader(file) if row["error"]}
    assert list(errors) == ["test000.png"]


def test_evaluate_writes_metrics_boxes_and_page(
    data: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["boxes", "evaluate", str(detector), str(data), "-o", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "mAP50 " in output and "mAP50 of the mean box" in output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["images"] == 6 and 0 <= metrics["ap50"] <= 1 and set(metrics["by_class"]) == {"hole", "bar"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<figure>") == 6 and "Class by class" in page
    assert json.loads((tmp_path / "out" / "boxes.json").read_text())["categories"][0]["name"] == "hole"


def test_proposals_can_be_learnt_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index, image in enumerate(striped(12, 96, 96, 1)):
        save_png(tmp_path / "good" / f"{index}.png", image)
    for index, image in enumerate(spotted(striped(12, 96, 96, 1, seed=1))[0]):
        save_png(tmp_path / "new" / f"{index:02d}.png", image)
    (tmp_path / "new" / "broken.png").write_bytes(b"broken")
    settings = ["--model", "ae", "--image-size", "48", "--steps", "60", "--set", "size=nano", "--set", "batch-size=4"]
    assert run(["fit", str(tmp_path / "good"), "-o", str(tmp_path / "anomalies"), *settings]) == 0
    propose = ["boxes", "propose", str(tmp_path / "anomalies"), str(tmp_path / "new"), "-o"]
    assert run([*propose, str(tmp_path / "proposals.json"), "--label", "spot"]) == 1  # one cannot be read
    assert "boxes proposed on 12 images" in capsys.readouterr().out
    proposals = read_boxes(tmp_path / "proposals.json", split="train", images=tmp_path / "new")
    assert proposals.classes == ("spot",) and sum(len(sample.boxes) for sample in proposals.samples) > 0
    learn = ["boxes", "fit", str(tmp_path / "proposals.json"), "--images", str(tmp_path / "new")]
    assert run([*learn, "-o", str(tmp_path / "boxes"), *FIT]) == 0
    assert run(["boxes", "predict", str(tmp_path / "boxes"), str(tmp_path / "good")]) == 0


def test_tiles_from_fit_to_prediction(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detector = tmp_path / "tiles"
    settings = ["--steps", "3", "--set", "size=nano", "--set", "batch-size=8", "--tile", "64", "--overlap", "0.5"]
    assert run(["boxes", "fit", str(data), "-o", str(detector), *settings]) == 0
    assert "tiles of 18 images" in capsys.readouterr().out
    table = tmp_path / "detections.csv"
    common = ["boxes", "predict", str(detector), str(data / "images"), "--min-score", "0.01", "-o", str(table)]
    assert run([*common, "--pictures", str(tmp_path / "pictures")]) == 0
    with table.open(newline="") as file:
        assert sum(bool(row["label"]) for row in csv.DictReader(file)) > 26
    assert run(["boxes", "evaluate", str(detector), str(data), "-o", str(tmp_path / "report")]) == 0
    assert run(["info", str(detector)]) == 0
    assert "tile" in capsys.readouterr().out


def test_an_image_too_large_to_draw_is_judged_and_reported(
    detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_png(tmp_path / "one.png", np.zeros((96, 96, 1), np.uint8))

    def refuse(*_: object, **__: object) -> None:
        raise ImageError("one.png: too large")

    command = ["boxes", "predict", str(detector), str(tmp_path / "one.png"), "--pictures", str(tmp_path / "pictures")]
    monkeypatch.setattr("daad.data.decode.decode", refuse)
    assert run(command) == 0
    assert "no picture: one.png: too large" in capsys.readouterr().err


def test_proposals_are_of_flagged_images_and_large_regions(tmp_path: Path) -> None:
    for index, image in enumerate(striped(12, 96, 96, 1)):
        save_png(tmp_path / "good" / f"{index}.png", image)
    settings = ["--model", "ae", "--image-size", "48", "--steps", "20", "--set", "size=nano", "--set", "batch-size=4"]
    assert run(["fit", str(tmp_path / "good"), "-o", str(tmp_path / "anomalies"), *settings]) == 0
    counts = []
    for extra in ([], ["--all-images"], ["--all-images", "--min-area", "9000"], ["--all-images", "--at-most", "1"]):
        command = ["boxes", "propose", str(tmp_path / "anomalies"), str(tmp_path / "good"), "-o"]
        file = tmp_path / f"{len(counts)}.json"
        assert run([*command, str(file), *extra]) == 0
        body = json.loads(file.read_text())
        assert len(body["images"]) == 12
        counts.append(len(body["annotations"]))
    assert counts[0] <= counts[1] and counts[2] == 0 and counts[3] <= 12


def test_print_config_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    assert run(["boxes", "fit", "--print-config", "--set", "segmentation=none"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["settings"]["segmentation"] == "none" and shown["settings"]["epochs"] == 40
    assert shown["image_size"] == 160 and "classes" not in shown["settings"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fit", "nowhere", "-o", "x"], 1, "does not exist"),
        (["fit", "-o", "x"], 2, "DATA is missing"),
        (["fit", "{data}", "-o", "x", "--set", "segmentation=maybe"], 2, "segmentation"),
        (["fit", "{data}/images", "-o", "x"], 1, "holds no boxes that daad reads"),
        (["fit", "{data}/images/train000.png", "-o", "x"], 1, "neither a COCO file"),
        (["predict", "{detector}", "{data}/images", "-o", "x.txt"], 2, "use .csv or .json"),
        (["predict", "{data}", "{data}/images"], 1, "not a daad detector"),
        (["predict", "{detector}", "{data}/images", "--min-score", "7"], 2, "min_score"),
        (["evaluate", "{detector}", "nowhere", "-o", "x"], 1, "does not exist"),
        (["propose", "{detector}", "{data}/images", "-o", "x.json"], 1, "is a detector of boxes"),
        (["propose", "{detector}", "{data}/images", "-o", "x.csv"], 2, "ends in .json"),
    ],
)
def test_wrong_usage_gives_one_line_of_error(
    arguments: list[str], status: int, message: str, data: Path, detector: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = [text.format(data=data, detector=detector) for text in arguments]
    assert run(["boxes", *given]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_info_and_models_know_detectors_of_boxes(detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(detector), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == "scod" and facts["classes"] == ["hole", "bar"]
    assert 0 <= facts["confidence"]["threshold"] <= 1
    assert run(["models", "scod"]) == 0
    shown = capsys.readouterr().out
    assert "segmentation = 'by_scale'" in shown and "preset paper" in shown
    assert run(["models"]) == 0 and "scod" in capsys.readouterr().out
    assert run(["fit", "x", "-o", "y", "--model", "scod"]) == 2
    assert "use daad boxes fit" in capsys.readouterr().err


@pytest.fixture
def copies(data: Path, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(data, tmp_path / "data")
    shutil.copytree(detector, tmp_path / "det")
    (tmp_path / "users.json").write_text("{}")
    (tmp_path / "users.csv").write_text("a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "predict det data/images -o data/train.json",
        "predict det data -o det/manifest.json",
        "predict det data/images -o users.json",
        "predict det data/images -o users.csv",
        "predict det data/images -o data",
        "predict det data/images/test000.png -o data/images/test000.png",
        "evaluate det data -o det",
        "evaluate det data/boxes.json -o data",
        "evaluate det data/train.json -o /proc/nowhere",
        "predict det data/images -o /proc/nowhere/detections.json",
        "evaluate det data -o out --batch-size 0",
        "fit data -o new --accelerator cuda --steps 1",
        "fit data -o new --preset paper --image-size 64",
    ],
)
def test_no_existing_file_is_overwritten(command: str, copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available() and "cuda" in command:
        pytest.skip("CUDA is available")
    if "boxes.json" in command:
        shutil.copy(copies / "data" / "test.json", copies / "data" / "boxes.json")
    before = {path: path.read_bytes() for path in copies.rglob("*") if path.is_file()}
    assert run(["boxes", *command.split()]) in (1, 2)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in copies.rglob("*") if path.is_file()} == before


def test_wrong_usage_keeps_an_earlier_result_and_a_new_result_replaces_it(copies: Path) -> None:
    for name in ("detections.csv", "detections.json"):
        command = ["boxes", "predict", "det", "data/images", "-o", name]
        assert run(command) == 0
        before = (copies / name).read_bytes()
        assert run([*command, "--min-score", "5"]) == 2 and run([*command, "--batch-size", "0"]) == 2
        assert (copies / name).read_bytes() == before
        assert run([*command, "--min-score", "0.01"]) == 0
        assert len((copies / name).read_bytes()) > len(before)


def test_drawn_pictures_are_never_taken_for_images(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["boxes", "predict", "det", "data/images", "-o", "detections.csv", "--pictures", "data/images"]) == 0
        assert "26 images judged" in capsys.readouterr().err


def test_a_missing_image_is_a_failure_of_the_evaluation(copies: Path) -> None:
    (copies / "data" / "images" / "test000.png").unlink()
    assert run(["boxes", "evaluate", "det", "data", "-o", "out"]) == 1
    assert json.loads((copies / "out" / "metrics.json").read_text())["failures"][0]["name"] == "test000.png"


def test_proposals_of_a_detector_of_tiles_leave_out_images_that_cannot_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    for index, image in enumerate(striped(6, 96, 96, 1)):
        save_png(tmp_path / "good" / f"{index}.png", image)
    tifffile.imwrite(tmp_path / "good" / "float.tif", striped(1, 96, 96, 1)[0, ..., 0].astype(np.float32) / 255)
    tifffile.imwrite(tmp_path / "good" / "bad.tif", np.full((96, 96), 7, np.float32))
    settings = ["--model", "ae", "--tile", "32", "--image-size", "32", "--steps", "5", "--set", "size=nano"]
    assert run(["fit", str(tmp_path / "good"), "-o", str(tmp_path / "tiles"), *settings]) == 0
    propose = ["boxes", "propose", str(tmp_path / "tiles"), str(tmp_path / "good"), "-o", str(tmp_path / "p.json")]
    assert run([*propose, "--all-images"]) == 1
    names = [image["file_name"] for image in json.loads((tmp_path / "p.json").read_text())["images"]]
    assert "float.tif" in names and "bad.tif" not in names and len(names) == 7
    assert run(propose) == 2 and "already exists" in capsys.readouterr().err
