"""The loop, its batches, checkpoints and log."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from daad import ArtifactError, Detector, TrainingError
from daad.data.preprocess import to_float
from daad.files import only_one, write_atomically
from daad.models.build import build
from daad.stages import Stage
from daad.training.batches import ImageBatches, batch_indices
from daad.training.loop import RunFolder, learning_rate_at, train
from tests.images import striped

SHAPE = {"height": 32, "width": 32, "channels": 1, "size": "nano", "batch_size": 4}


def run(folder: Path, steps: int = 6, *, identity: str = "a", resume: bool = False, **options: object):
    torch.manual_seed(0)
    model = build("ae", {**SHAPE, "steps": steps})
    run_folder = RunFolder(folder, identity, checkpoint_every=2, resume=resume)
    images = striped(8, 32, 32, 1)
    summary = train(model, images, to_float, seed=0, accelerator="cpu", precision="32-true", run=run_folder, **options)
    return model, summary


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("images", "batch"), [(10, 4), (3, 8), (1, 1), (7, 7)])
def test_every_image_is_drawn_equally_often(images: int, batch: int) -> None:
    size = min(images, batch)
    indices = np.concatenate([batch_indices(0, 0, step, images, batch) for step in range(images)])
    assert (np.bincount(indices, minlength=images) == size).all()
    first_epoch = indices[:images]
    assert sorted(first_epoch) == list(range(images))


def test_batches_depend_on_seed_and_stage_and_on_nothing_else() -> None:
    indices = batch_indices(1, 0, 5, 50, 8)
    assert (indices == batch_indices(1, 0, 5, 50, 8)).all()
    assert (indices != batch_indices(2, 0, 5, 50, 8)).any()
    assert (indices != batch_indices(1, 1, 5, 50, 8)).any()


def test_a_single_last_image_joins_the_batch_before_it() -> None:
    batches = ImageBatches(striped(9, 16, 16, 1), to_float, torch.device("cpu"))
    assert [len(batch) for batch in batches.in_order(4)] == [4, 5]
    assert [len(batch) for batch in batches.in_order(3)] == [3, 3, 3]


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate_at(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.05, rel=0.01)
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_the_log_has_a_row_a_step_and_term(tmp_path: Path) -> None:
    run(tmp_path)
    assert [(row["step"], row["term"]) for row in rows(tmp_path)] == [(str(step), "rec") for step in range(6)]


def test_progress_counts_every_step(tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    run(tmp_path, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(step, 6) for step in range(1, 7)]


class StopNow(Exception):
    pass


def stop_at(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise StopNow

    return progress


def test_a_resumed_log_equals_that_of_an_uninterrupted_run(tmp_path: Path) -> None:
    with pytest.raises(StopNow):
        run(tmp_path / "stopped", progress=stop_at(5))
    run(tmp_path / "stopped", resume=True)
    run(tmp_path / "uninterrupted")
    assert rows(tmp_path / "stopped") == rows(tmp_path / "uninterrupted")


def test_resuming_a_finished_run_trains_no_step_more(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    steps: list[int] = []
    second, summary = run(tmp_path, resume=True, progress=lambda done, total: steps.append(done))
    assert steps == [] and summary.resumed_at == 6
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_resume_without_a_checkpoint_starts_at_the_beginning(tmp_path: Path) -> None:
    _, summary = run(tmp_path, resume=True)
    assert summary.resumed_at == 0


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(ArtifactError, match="other settings, network, data or seed"):
        run(tmp_path, identity="b", resume=True)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    run(tmp_path)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ArtifactError, match="checkpoint.safetensors: the checkpoint cannot be read"):
        run(tmp_path, resume=True)


def test_settings_of_another_run_are_refused_through_the_detector(tmp_path: Path) -> None:
    images = striped(8, 32, 32, 1)
    options = {"model": "ae", "image_size": 32, "size": "nano", "batch_size": 4, "run": tmp_path, "checkpoint_every": 2}
    Detector.fit(images, steps=2, **options)
    with pytest.raises(ArtifactError, match="other settings"):
        Detector.fit(images, steps=2, lambda_rec=7.0, resume=True, **options)


def test_a_write_that_fails_leaves_the_old_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_stages_run_in_order_with_their_hooks() -> None:
    model = build("ae", {**SHAPE, "steps": 2})
    (real,) = model.stages(8)
    events: list[str] = []
    stages = [
        Stage(
            name,
            real.players,
            2,
            4,
            begin=lambda batches, n=name: events.append(f"{n} begins with {sum(map(len, batches()))}"),
            after_step=lambda batch, n=name: events.append(f"{n} stepped"),
            end=lambda batches, n=name: events.append(f"{n} ends"),
        )
        for name in ("one", "two")
    ]
    model.stages = lambda images: stages  # type: ignore[method-assign]
    train(model, striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
    assert events == [
        f"{n} {event}" for n in ("one", "two") for event in ("begins with 8", "stepped", "stepped", "ends")
    ]


def test_no_images_are_refused() -> None:
    with pytest.raises(TrainingError, match="no images"):
        train(build("ae", {**SHAPE, "steps": 1}), striped(0, 32, 32, 1), to_float, seed=0, accelerator="cpu")


def test_tensorboard_gets_the_terms_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("0/generator/rec")] == list(range(6))


def test_a_second_kill_before_the_next_checkpoint_loses_no_rows_of_the_log(tmp_path: Path) -> None:
    for step in (3, 4):
        with pytest.raises(StopNow):
            run(tmp_path, 8, resume=True, progress=stop_at(step))
    run(tmp_path, 8, resume=True)
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(8))


def test_a_damaged_log_does_not_stop_a_resume(tmp_path: Path) -> None:
    with pytest.raises(StopNow):
        run(tmp_path, progress=stop_at(4))
    log = tmp_path / "log.csv"
    log.write_bytes(log.read_bytes() + b"\xff\xfe,x,generator,rec,1,1\n0,")
    run(tmp_path, resume=True)
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(6))


def test_a_second_fit_in_a_run_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(TrainingError, match="another fit or search is running there"):
        run(tmp_path)
    run(tmp_path)
