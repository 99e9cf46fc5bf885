"""The command line end to end: what it writes, what it says, its exit status."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from daad import Detector
from daad.cli import run
from daad.cli.progress import ProgressBar, time_left
from daad.data.demo import write_demo_split
from daad.data.layouts import read_layout
from tests.images import save_png, striped
from tests.networks import Pyramid

FIT = ["--model", "ae", "--image-size", "32", "--steps", "60", "--set", "size=nano", "--set", "batch-size=4"]


@pytest.fixture(scope="module")
def detector(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("cli") / "detector"
    assert run(["fit", str(mvtec_folder), "-o", str(place), *FIT]) == 0
    return place


def test_fit_says_what_it_made_and_keeps_its_run_beside(detector: Path) -> None:
    assert (detector / "manifest.json").is_file()
    assert (detector.with_name("detector.run") / "log.csv").is_file()


def test_fit_resumes(mvtec_folder: Path, detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", str(mvtec_folder), "-o", str(detector), *FIT, "--resume"]) == 0
    assert "threshold" in capsys.readouterr().out


def test_evaluate_writes_metrics_predictions_and_page(detector: Path, mvtec_folder: Path, tmp_path: Path) -> None:
    assert run(["evaluate", str(detector), str(mvtec_folder), "-o", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for name in ("image_auroc", "image_ap", "image_f1_max", "image_fpr_at_95_tpr", "pixel_auroc", "pixel_ap"):
        assert set(metrics[name]) == {"value", "low", "high", "level"}, name
    assert 0 <= metrics["aupro_0.3"]["value"] <= 1 and 0 <= metrics["aupro_0.05"]["value"] <= 1
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and {row["label"] for row in rows} == {"0", "1"}
    assert "<html" in (tmp_path / "out" / "index.html").read_text().lower()


def test_evaluate_records_a_bad_image_and_fails_at_the_end(detector: Path, mvtec_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(mvtec_folder, tmp_path / "data"))
    (data / "test" / "good" / "000.png").write_bytes(b"broken")
    assert run(["evaluate", str(detector), str(data), "-o", str(tmp_path / "out")]) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["counts"] == {"good": 5, "anomalous": 6, "failed": 1}
    assert "000.png" in metrics["failures"][0]["reason"]
    assert "broken" not in (tmp_path / "out" / "predictions.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_predict_writes_a_table(detector: Path, mvtec_folder: Path, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"results.{ending}"
    assert run(["predict", str(detector), str(mvtec_folder / "test" / "spot"), "-o", str(target)]) == 0
    if ending == "csv":
        with target.open(newline="") as file:
            rows = [{**row, "regions": json.loads(row["regions"])} for row in csv.DictReader(file)]
    elif ending == "jsonl":
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(target).to_pylist()
    assert len(rows) == 6
    assert {"name", "score", "p_value", "is_anomalous", "threshold", "regions", "error"} == set(rows[0])
    assert all(float(row["score"]) >= 0 and 0 < float(row["p_value"]) <= 1 for row in rows)


def test_predict_prints_csv_and_draws_pictures_on_request(
    detector: Path, mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = mvtec_folder / "test" / "spot" / "000.png"
    assert run(["predict", str(detector), str(image), "--pictures", str(tmp_path / "pictures")]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert rows[0]["name"].endswith("000.png")
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 2


def test_predict_goes_on_after_a_bad_image_and_says_so(
    detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, image in enumerate(striped(3, 32, 32, 1)):
        save_png(tmp_path / "in" / f"{index}.png", image)
    (tmp_path / "in" / "1.png").write_bytes(b"")
    target = tmp_path / "out.jsonl"
    assert run(["predict", str(detector), str(tmp_path / "in"), "-o", str(target)]) == 1
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert rows[1]["score"] is None and rows[1]["is_anomalous"] is None
    assert "1 could not be judged" in capsys.readouterr().err


def test_the_false_alarm_rate_can_be_set_when_predicting(detector: Path, mvtec_folder: Path, tmp_path: Path) -> None:
    for rate in ("0.4", "0.9"):
        target = tmp_path / f"{rate}.jsonl"
        command = ["predict", str(detector), str(mvtec_folder / "test"), "-o", str(target), "--false-alarm-rate", rate]
        assert run(command) == 0
    thresholds = [
        json.loads((tmp_path / f"{r}.jsonl").read_text().splitlines()[0])["threshold"] for r in ("0.4", "0.9")
    ]
    assert thresholds[0] > thresholds[1]


def test_info_tells_what_a_detector_is(detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(detector)]) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert run(["info", str(detector), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert told["model"] == "ae" and told["provenance"]["seed"] == 0
    assert told["checked"] == "hashes and golden sample"


def test_info_tells_of_a_detector_on_a_network_of_the_users_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = Detector.fit(striped(10, 32, 32, 1), model="padim", image_size=32, features=Pyramid())
    assert run(["info", str(detector.save(tmp_path / "own"))]) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert told["config"]["features"] == "module" and told["checked"].startswith("hashes alone")


def test_models_lists_all_and_the_settings_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    assert "daad+" in capsys.readouterr().out
    assert run(["models", "daad"]) == 0
    assert "division_rate" in capsys.readouterr().out


def test_printed_settings_can_be_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "--print-config", "--model", "daad", "--seed", "7", "--set", "division_rate=[4, 4, 2]"]
    assert run([*command, "--image-size", "64", "128"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "config.yaml").write_text(printed)
    assert run(["fit", "--print-config", "--config", str(tmp_path / "config.yaml")]) == 0
    assert capsys.readouterr().out == printed
    assert run(["fit", "--print-config", "--config", str(tmp_path / "config.yaml"), "--seed", "8"]) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert told["seed"] == 8 and told["image_size"] == [64, 128] and told["settings"]["division_rate"] == [4, 4, 2]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fit", "nowhere", "-o", "d"], 1, "nowhere"),
        (["fit", "nowhere"], 2, "--output is missing"),
        (["fit", "-o", "d"], 2, "DATA is missing"),
        (["fit", "nowhere", "-o", "d", "--model", "dadd"], 2, "did you mean 'daad'"),
        (["fit", "nowhere", "-o", "d", "--set", "stepz=3"], 2, "did you mean 'steps'"),
        (["fit", "nowhere", "-o", "d", "--set", "steps"], 2, "expected NAME=VALUE"),
        (["fit", "nowhere", "-o", "d", "--seed", "many"], 2, "seed"),
        (["fit", "nowhere", "-o", "d", "--config", "absent.yaml"], 2, "absent.yaml"),
        (["fit", "nowhere", "-o", "d", "--preste", "small"], 2, "preste"),
        (["predict", "nowhere", "images"], 1, "nowhere: no such detector"),
        (["evaluate", "nowhere", "images"], 2, "output"),
        (["frobnicate"], 2, "frobnicate"),
        (["fit", "nowhere", "-o", "d", "--seed", "-1"], 2, "seed: "),
        (["fit", "nowhere", "-o", "d", "--checkpoint-every", "0"], 2, "checkpoint_every: "),
        (["fit", "nowhere", "-o", "d", "--set", "height=128"], 2, "height follows from the images"),
        (["fit", "--print-config", "--set", "batch_size=-3"], 2, "batch_size: "),
        (["fit", "--print-config", "--set", "widths=2020-13-45"], 2, "widths"),
        (["fit", "--print-config", "--steps", "3", "--epochs", "3"], 2, "either steps or epochs"),
    ],
)
def test_wrong_input_gives_one_clear_message_and_the_right_status(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == status
    told = capsys.readouterr()
    assert message in told.out + told.err
    assert "Traceback" not in told.out + told.err


def test_a_config_with_an_unknown_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("modle: ae\n")
    assert run(["fit", "--print-config", "--config", str(tmp_path / "c.yaml")]) == 2
    assert "did you mean 'model'" in capsys.readouterr().err


def test_an_occupied_output_is_refused_before_training(mvtec_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", str(mvtec_folder), "-o", str(mvtec_folder), *FIT]) == 1
    assert "already exists and is not a daad detector" in capsys.readouterr().err


def test_the_estimate_of_the_time_left_is_the_mean_pace_so_far() -> None:
    assert time_left(10, 100, 200) == "about 0:20 left"
    assert time_left(60, 10, 20) == "about 2:00 left"
    assert time_left(0, 0, 10) == time_left(5, 5, 0) == ""


def test_without_a_terminal_progress_is_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as progress:
        for done in range(1, 1001):
            progress("train", done, 1000)
    assert 5 <= len(capsys.readouterr().err.splitlines()) <= 12


def test_the_demo_split_is_seeded_disjoint_and_of_monocrystalline_cells(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset")
    first, again = (write_demo_split(tmp_path / name, 0).read_text() for name in ("a", "b"))
    assert first == again != write_demo_split(tmp_path / "c", 1).read_text()
    train = read_layout(tmp_path / "a" / "split.csv", split="train")
    test = read_layout(tmp_path / "a" / "split.csv", split="test")
    assert not {s.name for s in train} & {s.name for s in test}
    assert len(train) > 400 and sum(s.label == 0 for s in test) == 100 and sum(s.label == 1 for s in test) > 200


def test_the_demo_runs_from_images_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("elpv_dataset")
    assert run(["demo", "-o", str(tmp_path / "demo"), "--model", "ae", "--steps", "2"]) == 0
    assert "image AUROC" in capsys.readouterr().out
    assert np.isfinite(json.loads((tmp_path / "demo" / "report" / "metrics.json").read_text())["image_auroc"]["value"])


def test_the_command_line_goes_over_the_file_in_steps_and_epochs_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("steps: 7\nfalse_alarm_rate: 1e-2\nsettings: {learning_rate: 1e-4}\n")
    assert run(["fit", "--print-config", "--config", str(tmp_path / "c.yaml")]) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert (told["settings"]["steps"], told["false_alarm_rate"], told["settings"]["learning_rate"]) == (7, 0.01, 1e-4)
    assert run(["fit", "--print-config", "--config", str(tmp_path / "c.yaml"), "--epochs", "2"]) == 0
    told = yaml.safe_load(capsys.readouterr().out)["settings"]
    assert told["epochs"] == 2 and told["steps"] is None


@pytest.mark.parametrize(
    "line", ["seed: hello", "seed: null", "model: 3", "image_size: '64'", "holdout: [0.1]", "settings: {1: 2}", "x: ["]
)
def test_nonsense_in_a_config_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "c.yaml").write_text(line + "\n")
    assert run(["fit", "--print-config", "--config", str(tmp_path / "c.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_predictions_never_go_over_what_they_are_made_from(
    detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_png(tmp_path / "1.png", striped(1, 32, 32, 1)[0])
    manifest = tmp_path / "images.csv"
    manifest.write_text("path\n1.png\n")
    assert run(["predict", str(detector), str(manifest), "-o", str(manifest)]) == 2
    assert manifest.read_text() == "path\n1.png\n"


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_an_output_that_cannot_be_written_is_one_clear_message(
    detector: Path, mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "taken").write_text("x")
    place = tmp_path / "taken" / "out.csv" if verb == "predict" else tmp_path / "taken"
    assert run([verb, str(detector), str(mvtec_folder), "-o", str(place)]) == 2
    told = capsys.readouterr().err
    assert "taken" in told and "Traceback" not in told


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_predictions_replace_their_own_table_and_nothing_else(
    detector: Path, mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    command = ["predict", str(detector), str(mvtec_folder / "test" / "good"), "-o"]
    table, labels = tmp_path / f"out.{ending}", tmp_path / f"labels.{ending}"
    labels.write_text('{"name": "a.png", "label": 1}')
    for _ in range(2):
        assert run([*command, str(table)]) == 0
    assert run([*command, str(labels)]) == 2
    assert "daad did not write it" in capsys.readouterr().err and "a.png" in labels.read_text()


def test_results_replace_results_of_the_same_kind_and_nothing_else(
    detector: Path, mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, mine, audit = tmp_path / "out", tmp_path / "mine", ["audit", str(mvtec_folder), *AUDIT, "-o"]
    evaluate = ["evaluate", str(detector), str(mvtec_folder), "-o"]
    mine.mkdir()
    (mine / "index.html").write_text("mine")
    for command in (evaluate, audit):
        assert run([*command, str(mine)]) == 2
        assert "index.html that daad did not write" in capsys.readouterr().err
    assert [path.name for path in mine.iterdir()] == ["index.html"] and (mine / "index.html").read_text() == "mine"
    for _ in range(2):
        assert run([*evaluate, str(out)]) == 0
    page = (out / "index.html").read_bytes()
    assert run([*audit, str(out)]) == 2
    assert "another kind of results (evaluation)" in capsys.readouterr().err
    assert (out / "index.html").read_bytes() == page


def test_a_full_disk_is_one_clear_message(
    detector: Path,
    mvtec_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.csv")

    monkeypatch.setattr("daad.cli.tables._Csv.write", full)
    assert run(["predict", str(detector), str(mvtec_folder / "test"), "-o", str(tmp_path / "x.csv")]) == 1
    assert "x.csv: No space left on device" in capsys.readouterr().err


def test_what_is_stopped_says_how_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daad.audit.audit.audit_pool", stopped)
    assert run(["audit", str(tmp_path), "-o", str(tmp_path / "out")]) == 130
    assert "stopped" in (said := capsys.readouterr().err) and "--resume" in said


RESULTS_OF_AUDIT = {"audit.csv", "contact_sheet.png", "daad-results.json", "index.html"}
AUDIT = ["--model", "mcod", "--image-size", "32", "--steps", "4", "--set", "size=nano", "--set", "memory-slots=4"]


def test_audit_ranks_and_lists_what_to_keep(mvtec_folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    assert run(["audit", str(mvtec_folder), "-o", str(tmp_path / "out"), "--drop-to", str(kept), *AUDIT]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULTS_OF_AUDIT
    ranked = len(list(csv.DictReader((tmp_path / "out" / "audit.csv").open())))
    assert len(read_layout(kept, split="train")) == ranked - 1
    assert run(["fit", str(kept), "-o", str(tmp_path / "detector"), *FIT]) == 0


def test_a_contact_sheet_among_the_images_is_no_image(mvtec_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(mvtec_folder / "train" / "good", tmp_path / "pool"))
    images = len(list(data.iterdir()))
    for _ in range(2):
        assert run(["audit", str(data), "-o", str(data / "audit"), *AUDIT]) == 0
    assert len(list(csv.DictReader((data / "audit" / "audit.csv").open()))) == images


def test_audit_of_a_pool_with_a_bad_image_goes_on_and_fails_at_the_end(mvtec_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(mvtec_folder / "train" / "good", tmp_path / "pool"))
    (data / "broken.png").write_bytes(b"broken")
    assert run(["audit", str(data), "-o", str(tmp_path / "out"), *AUDIT]) == 1
    assert "broken.png" in (tmp_path / "out" / "audit.csv").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contamination", "0.9"], "contamination"),
        (["--drop-to", "kept.txt"], "end its name in .csv"),
        (["--top", "0"], "show 1 to 2,000"),
        (["--top", "5000"], "show 1 to 2,000"),
        (["--set", "memory-slot=4"], "did you mean 'memory_slots'"),
    ],
)
def test_audit_refuses_what_makes_no_sense(
    mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["audit", str(mvtec_folder), "-o", str(tmp_path / "out"), *AUDIT, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_audit_does_not_write_over_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("path\na.png\n")
    assert run(["audit", str(manifest), "-o", str(tmp_path / "out"), "--drop-to", str(manifest), *AUDIT]) == 2
    assert "written over" in capsys.readouterr().err and manifest.read_text() == "path\na.png\n"


def test_the_list_of_what_to_keep_is_not_one_of_the_results(
    mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["audit", str(mvtec_folder), "-o", str(out), "--drop-to", str(out / "audit.csv"), *AUDIT]) == 2
    assert "is one of the results" in capsys.readouterr().err


@pytest.mark.parametrize("mine_says", ["image,remark\na.png,keep\n", "path,label,group\na.png,remark,lot 7\n"])
def test_a_list_of_what_to_keep_replaces_no_other_file(
    mvtec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mine_says: str
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text(mine_says)
    assert run(["audit", str(mvtec_folder), "-o", str(tmp_path / "out"), "--drop-to", str(mine), *AUDIT]) == 2
    assert "daad did not write it" in capsys.readouterr().err and "remark" in mine.read_text()


FEATURES = ["--model", "padim", "--image-size", "32", "--set", "size=nano"]


@pytest.mark.parametrize("features", ["random", "filters", "saved"])
def test_features_are_chosen_by_name_or_path_and_what_is_printed_can_be_read_again(
    features: str, good_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if features == "saved":
        learnt = ["--features", "ccd", "--set", "features.steps=2", "--set", "features.batch_size=4"]
        assert run(["fit", str(good_folder), "-o", str(tmp_path / "first"), *FEATURES, *learnt]) == 0
        features = str(tmp_path / "first")
    options = [*FEATURES, "--features", features]
    assert run(["fit", str(good_folder), "-o", str(tmp_path / "by-options"), *options]) == 0
    capsys.readouterr()
    assert run(["fit", "--print-config", *options]) == 0
    (tmp_path / "fit.yaml").write_text(capsys.readouterr().out)
    assert yaml.safe_load((tmp_path / "fit.yaml").read_text())["settings"]["features"] == features
    config = ["--config", str(tmp_path / "fit.yaml")]
    assert run(["fit", str(good_folder), "-o", str(tmp_path / "by-config"), *config]) == 0
    first, second = (Detector.load(tmp_path / name) for name in ("by-options", "by-config"))
    assert first.calibration == second.calibration
    assert run(["predict", str(tmp_path / "by-config"), str(good_folder), "-o", str(tmp_path / "table.csv")]) == 0
    assert run(["search", str(good_folder), "-d", str(tmp_path / "by-config"), "-o", str(tmp_path / "found")]) == 0


def test_audits_print_their_settings_too_and_the_old_name_of_boxes_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--print-config", "--model", "mcod"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["contamination"], printed["settings"]["support_fraction"]) == (0.05, 0.75)
    assert run(["detect", "fit", "--print-config"]) == 0
    streams = capsys.readouterr()
    assert yaml.safe_load(streams.out)["holdout"] == 0.1 and "is called 'daad boxes' now" in streams.err


def test_models_say_what_preset_small_runs_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "daad"]) == 0
    assert "  steps = 1000\n" in (printed := capsys.readouterr().out) and "  temperature = 0.03\n" in printed
    for name in ("features", "ccd", "lite0", "padim", "scod"):
        assert run(["models", name]) == 0 and len(capsys.readouterr().out) > 100
    assert run(["models", "padmi"]) == 2 and "did you mean 'padim'" in capsys.readouterr().err
