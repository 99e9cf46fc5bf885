"""Every layout a user may give, the samples it has, and the error when it does not fit."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from daad.artifact.store import MANIFEST, WEIGHTS
from daad.data.cache import cache_images
from daad.data.decode import decode, probe
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.errors import DataError, ImageError
from daad.report.pictures import save_pictures
from daad.scoring.prediction import Prediction
from daad.training.log import RunLog
from daad.training.loop import CHECKPOINT


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(samples: list[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    path = root / "m.csv"
    path.write_text(text, encoding=encoding)
    return path


MVTEC = (
    "train/good/001.png",
    "train/good/000.png",
    "test/good/000.png",
    "test/scratch/000.png",
    "test/scratch/001.png",
    "test/dent/7.jpg",
    "test/dent/8.jpg",
    "ground_truth/scratch/000_mask.png",
    "ground_truth/dent/7.bmp",
)


# --- folders ----------------------------------------------------------------------------------------------------


def test_mvtec_train_is_the_good_images(tmp_path: Path) -> None:
    samples = read_layout(touch(tmp_path, *MVTEC), split="train")
    assert names(samples) == ["train/good/000.png", "train/good/001.png"]
    assert {(s.label, s.split, s.defect, s.mask) for s in samples} == {(0, "train", "good", None)}
    assert samples[0].image == tmp_path / "train/good/000.png"


def test_mvtec_test_has_labels_defects_and_masks(tmp_path: Path) -> None:
    samples = read_layout(str(touch(tmp_path, *MVTEC)), split="test")
    truth = tmp_path / "ground_truth"
    assert [(s.name, s.label, s.defect, s.mask) for s in samples] == [
        ("test/dent/7.jpg", 1, "dent", truth / "dent/7.bmp"),
        ("test/dent/8.jpg", 1, "dent", None),
        ("test/good/000.png", 0, "good", None),
        ("test/scratch/000.png", 1, "scratch", truth / "scratch/000_mask.png"),
        ("test/scratch/001.png", 1, "scratch", None),
    ]
    assert {s.split for s in samples} == {"test"}


def test_without_a_split_both_parts_come_and_no_mask_is_an_image(tmp_path: Path) -> None:
    samples = read_layout(touch(tmp_path, *MVTEC, "train/bad/0.png"))
    assert len(samples) == 8 and names(samples) == sorted(names(samples))
    assert [s.label for s in samples if s.name == "train/bad/0.png"] == [1]


def test_anomalous_and_loose_training_images_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *MVTEC, "train/bad/0.png", "train/loose.png")
    assert len(read_layout(tmp_path, split="train")) == 2


def test_test_folder_without_train_good_cannot_train(tmp_path: Path) -> None:
    touch(tmp_path, "test/good/0.png", "train/0.png")
    with pytest.raises(DataError, match=r"has no images in train/good; expected train/good/\*\.png"):
        read_layout(tmp_path, split="train")
    assert names(read_layout(tmp_path, split="test")) == ["test/good/0.png"]


def test_train_folder_without_test_cannot_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png")
    with pytest.raises(DataError, match=r"has no images in test; expected .*test/<defect>"):
        read_layout(tmp_path, split="test")


def test_good_beside_other_folders_is_labelled_test_data(tmp_path: Path) -> None:
    touch(tmp_path, "Good/0.png", "crack/0.png", "crack/deep/1.png", "loose.png", "ground_truth/crack/deep/1_mask.png")
    for split in (None, "test"):
        samples = {s.name: s for s in read_layout(tmp_path, split=split)}
        assert {name: s.label for name, s in samples.items()} == {
            "Good/0.png": 0,
            "crack/0.png": 1,
            "crack/deep/1.png": 1,
            "loose.png": None,
        }
        assert samples["crack/deep/1.png"].mask == tmp_path / "ground_truth/crack/deep/1_mask.png"
        assert {s.split for s in samples.values()} == {"test"}
    with pytest.raises(DataError, match=rf"to train, give {re.escape(str(tmp_path / 'Good'))}"):
        read_layout(tmp_path, split="train")


def test_masks_are_found_when_the_test_folder_itself_is_given(tmp_path: Path) -> None:
    samples = read_layout(touch(tmp_path, *MVTEC) / "test")
    assert [s.mask for s in samples if s.name == "scratch/000.png"] == [tmp_path / "ground_truth/scratch/000_mask.png"]


def test_folder_of_good_alone_is_normal(tmp_path: Path) -> None:
    touch(tmp_path, "good/0.png", "ground_truth/bad/0.png")
    assert [(s.name, s.label) for s in read_layout(tmp_path)] == [("good/0.png", 0)]
    assert [(s.name, s.label) for s in read_layout(tmp_path, split="train")] == [("good/0.png", 0)]


def test_plain_folder_is_normal_only_for_training(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a/c.tif", "a/b.npy", "notes.txt", "Thumbs.db", ".x.png", ".git/a.png", "__MACOSX/a.png")
    assert names(read_layout(tmp_path)) == ["a/b.npy", "a/c.tif", "b.PNG"]
    assert {s.label for s in read_layout(tmp_path, split="test")} == {None}
    assert {(s.label, s.split, s.defect) for s in read_layout(tmp_path, split="train")} == {(0, "train", "good")}


@pytest.mark.parametrize(
    "files",
    [
        ("bottle/train/good/0.png", "bottle/test/good/1.png", "bottle/test/broken/2.png"),
        ("bottle/test/good/1.png",),
        ("data/good/0.png", "data/bad/1.png"),
        ("train/0.png", "defect/1.png"),
        ("line 1/OK/0.png", "loose.png"),
    ],
    ids=lambda files: files[-1],
)
def test_a_folder_above_labelled_ones_cannot_train(tmp_path: Path, files: tuple[str, ...]) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=r"which images are good cannot be told, such as .*; to train, give"):
        read_layout(tmp_path, split="train")
    assert len(read_layout(tmp_path, split="test")) == len(files)


def test_a_folder_above_folders_of_good_images_alone_can_train(tmp_path: Path) -> None:
    touch(tmp_path, "bottle/train/good/0.png", "screw/train/good/1.png", "cable/normal/2.png")
    assert len(read_layout(tmp_path, split="train")) == 3


def test_hidden_parents_do_not_hide_the_images(tmp_path: Path) -> None:
    assert names(read_layout(touch(tmp_path / ".cache" / "__MACOSX", "a.png"))) == ["a.png"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.png")
    touch(tmp_path / "data", "b.png")
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "data")
    (tmp_path / "data/dangling.png").symlink_to(tmp_path / "nowhere.png")
    assert names(read_layout(tmp_path / "data")) == ["b.png", "dangling.png", "linked/a.png"]


@pytest.mark.parametrize("content", [(), ("readme.txt",), (".hidden.png",)])
def test_folder_without_images_is_refused(content: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(str(tmp_path))}: holds no image.*expected"):
        read_layout(touch(tmp_path, *content))


def test_missing_path_and_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: does not exist"):
        read_layout(tmp_path / "gone")
    with pytest.raises(DataError, match=r"a\.zip: is neither"):
        read_layout(touch(tmp_path, "a.zip") / "a.zip")


def write_cache(folder: Path) -> None:
    cache_images([Sample(np.zeros((4, 4), np.uint8), "a")], Preprocess(height=4, width=4, channels=1), folder)


GENERATED_FOLDERS: dict[str, Callable[[Path], Any]] = {
    "detector": lambda folder: touch(folder, MANIFEST, WEIGHTS),
    "d.run": lambda folder: touch(folder, CHECKPOINT),
    "e.run": lambda folder: RunLog(folder).close(),
    "f.run": lambda folder: write_cache(folder / "cache"),
}


@pytest.mark.parametrize("name", GENERATED_FOLDERS)
@pytest.mark.parametrize("parent", ["", "deep/"])
def test_what_daad_wrote_beside_the_images_is_ignored(parent: str, name: str, tmp_path: Path) -> None:
    touch(tmp_path, "good/0.png", f"{parent}{name}/x.png")
    GENERATED_FOLDERS[name](tmp_path / parent / name)
    assert names(read_layout(tmp_path, split="train")) == ["good/0.png"]
    assert [s.label for s in read_layout(tmp_path)] == [0]


def test_folders_that_only_resemble_daads_are_read(tmp_path: Path) -> None:
    touch(tmp_path, f"a/{MANIFEST}", "a/0.png", "b.run/log.csv", "b.run/0.png", "c.run/cache/0.png", f"d/{CHECKPOINT}")
    touch(tmp_path, "d/0.png")
    assert names(read_layout(tmp_path)) == ["a/0.png", "b.run/0.png", "c.run/cache/0.png", "d/0.png"]
    GENERATED_FOLDERS["e.run"](tmp_path / "b.run")
    assert names(read_layout(tmp_path / "b.run")) == ["0.png"]  # asked for by name


def test_pictures_that_daad_drew_are_ignored(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    (tmp_path / "good").mkdir()
    for name in ("good/0.png", "good/photo_heat.png"):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "good/gone_overlay.png").symlink_to(tmp_path / "nowhere.png")
    judged = Prediction(name="ü.png", score=0, is_anomalous=False, p_value=1, anomaly_map=np.zeros((8, 8), np.float32))
    for folder in ("good", "pictures"):
        assert len(save_pictures(tmp_path / folder, judged, image, 1)) == 2
    expected = ["good/0.png", "good/gone_overlay.png", "good/photo_heat.png"]
    assert names(read_layout(tmp_path, split="train")) == names(read_layout(tmp_path)) == expected
    with pytest.raises(DataError, match="or only what daad itself wrote"):
        read_layout(tmp_path / "pictures")


def test_empty_good_beside_bad_images_still_cannot_train(tmp_path: Path) -> None:
    touch(tmp_path, "good/notes.txt", "crack/0.png")
    with pytest.raises(DataError, match="looks like test data"):
        read_layout(tmp_path, split="train")


@pytest.mark.skipif(sys.platform != "linux", reason="file names elsewhere are always text")
@pytest.mark.parametrize("folder", [b"", b"train/good/", b"test/cr\xe9ck/"])
def test_file_names_that_are_no_utf8_get_a_name_that_is(folder: bytes, tmp_path: Path) -> None:
    parent = os.fsencode(tmp_path) + b"/" + folder
    os.makedirs(parent, exist_ok=True)  # noqa: PTH103 (a path of bytes)
    path = Path(os.fsdecode(parent + b"caf\xe9.png"))
    Image.new("L", (3, 2)).save(path)
    for sample in [*read_layout(tmp_path), *read_layout(path), *read_layout([path])]:
        assert sample.name.endswith("caf\\udce9.png")
        assert f"{sample.name} {sample.defect}".encode()
        assert decode(sample.image, name=sample.name).shape == (2, 3, 1)
    path.unlink()
    with pytest.raises(ImageError, match=r"one: does not exist at .*caf\\udce9\.png"):
        decode(path, name="one")
    with pytest.raises(ImageError, match=r"caf\\udce9\.png: does not exist; "):
        decode(path)


# --- lists and images in memory ---------------------------------------------------------------------------------


def test_one_image_file_is_one_sample(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    assert [(s.name, s.label) for s in read_layout(tmp_path / "a.png")] == [("a.png", None)]


def test_lists_keep_their_order_and_name_their_items(tmp_path: Path) -> None:
    items = [tmp_path / "z.png", "a.png", np.zeros((4, 4)), b"png", Image.new("L", (2, 2))]
    expected = [(tmp_path / "z.png").as_posix(), "a.png", "array[2]", "bytes[3]", "image[4]"]
    assert names(read_layout(items)) == expected == names(read_layout(item for item in items))
    assert {s.label for s in read_layout(items)} == {None}
    assert {s.label for s in read_layout(tuple(items), split="train")} == {0}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 4, 5, 1), ["array[0]", "array[1]", "array[2]"]), ((4, 5, 3), ["array[0]"]), ((4, 5), ["array[0]"])],
)
def test_arrays_are_batches_only_with_four_axes(shape: tuple[int, ...], expected: list[str]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    samples = read_layout(array)
    assert names(samples) == expected
    np.testing.assert_array_equal(np.stack([s.image for s in samples]).reshape(shape), array)


@pytest.mark.parametrize("single", [b"bytes", Image.new("L", (2, 2)), Sample(b"", "sample")])
def test_a_single_image_is_a_list_of_one(single: Any) -> None:
    assert len(read_layout(single)) == 1


class Broken:
    def read(self) -> bytes:
        raise OSError("the line is cut")


@pytest.mark.parametrize(
    ("item", "name", "complaint"),
    [
        (None, "item[1]", r"item\[1\]: None is not an image; cv2\.imread"),
        (3, "item[1]", r"item\[1\]: int is not an image"),
        ([b"a", [b"b", 3]], "item[1]", r"item\[1\]: list is not an image"),
        ("", "item[1]", r"item\[1\]: the path is empty"),
        (io.StringIO("text"), "bytes[1]", r"bytes\[1\]: reading it gives str, not bytes; .*'rb'"),
        (Broken(), "bytes[1]", r"bytes\[1\]: cannot be read \(the line is cut\)"),
        (io.BytesIO(), "bytes[1]", r"bytes\[1\]: holds no bytes"),
    ],
)
def test_one_unusable_item_does_not_spoil_a_list(item: Any, name: str, complaint: str, tmp_path: Path) -> None:
    good = np.zeros((4, 4), np.uint8)
    samples = read_layout([good, item, good], split="train")
    assert names(samples) == ["array[0]", name, "array[2]"]
    for refuse in (lambda sample: decode(sample.image, name=sample.name), probe):
        with pytest.raises(ImageError, match=complaint):
            refuse(samples[1])
    cached = cache_images(samples, Preprocess(height=4, width=4, channels=1), tmp_path)
    assert [s.name for s in cached.samples] == ["array[0]", "array[2]"] and len(cached.failures) == 1
    assert re.match(complaint, cached.failures[0].reason)


def test_open_files_are_images_by_their_bytes(tmp_path: Path) -> None:
    Image.new("L", (3, 2), 7).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    written = io.BytesIO()
    written.write(content)  # left at its end, as after Image.save
    with (tmp_path / "a.png").open("rb") as file:
        samples = read_layout([np.zeros((2, 3), np.uint8), file, written])
        assert names(samples) == ["array[0]", "bytes[1]", "bytes[2]"]
        assert [s.image for s in samples[1:]] == [content, content]
        for single in (file, written):
            assert [(s.name, s.image) for s in read_layout(single)] == [("bytes[0]", content)]
            assert decode(single).max() == 7


def test_an_iterator_that_can_also_read_is_not_a_file() -> None:
    class Camera:
        frames = iter([np.zeros((2, 3), np.uint8)] * 2)

        def read(self) -> Any:
            raise AssertionError("not asked for")

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self.frames)

    assert names(read_layout(Camera())) == ["array[0]", "array[1]"]


@pytest.mark.parametrize("shape", [(20, 9, 7), (9, 7, 3)])
def test_one_array_of_three_axes_cannot_train(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match=r"is one image.*grey images needs a channel axis \(N, H, W, 1\)"):
        read_layout(array, split="train")
    assert len(read_layout(array)) == len(read_layout([array], split="train")) == 1


@pytest.mark.parametrize("label", [2, -1, "good", float("nan")])
@pytest.mark.parametrize("split", [None, "train", "test"])
def test_unknown_labels_of_samples_are_refused_by_name(label: Any, split: Any) -> None:
    with pytest.raises(DataError, match=rf"part 7: label {label!r} is unknown; use 0 for normal"):
        read_layout([Sample(b"", "fine", 0), Sample(b"", "part 7", label)], split=split)


def test_samples_are_chosen_by_their_split_and_label() -> None:
    plain = Sample(b"", "plain")
    samples = [plain, replace(plain, name="bad", label=1), replace(plain, name="test", label=0, split="test")]
    assert read_layout(samples) == samples
    assert [(s.name, s.label) for s in read_layout(samples, split="train")] == [("plain", 0)]
    assert names(read_layout(samples, split="test")) == ["plain", "bad", "test"]
    with pytest.raises(DataError, match="none of the 1 samples is a normal training image"):
        read_layout(samples[1:2], split="train")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ([], "empty"),
        (np.zeros((0, 4, 4, 3), np.uint8), "empty"),
        ("", "the path is empty"),
        (" ", "the path is empty"),
        (None, "NoneType is not a source"),
    ],
)
def test_what_is_no_list_of_images_is_refused(data: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_layout(data)


# --- manifests --------------------------------------------------------------------------------------------------

TABLE = (
    "path,Label,mask,split,group,camera\n"
    "img/b.png,Good,,train,part1,left\n"
    "img/a.png,0,,TRAIN,part1,left\n"
    "img/c.png,1,masks/c.png,test,,left\n"
    "\n"
    "img/d.png,defect,,test,,right\n"
    "img/e.png,normal,,test,,\n"
    "img/f.png,anomalous,,train,,\n"
    "img/g.png,,,,,\n"
)


def test_manifest_rows_become_samples_in_order(tmp_path: Path) -> None:
    samples = read_layout(manifest(tmp_path, TABLE))
    assert [(s.name, s.label, s.split, s.group, s.defect) for s in samples] == [
        ("img/b.png", 0, "train", "part1", "good"),
        ("img/a.png", 0, "train", "part1", "good"),
        ("img/c.png", 1, "test", None, "anomalous"),
        ("img/d.png", 1, "test", None, "defect"),
        ("img/e.png", 0, "test", None, "good"),
        ("img/f.png", 1, "train", None, "anomalous"),
        ("img/g.png", None, None, None, None),
    ]
    assert samples[2].mask == tmp_path / "masks/c.png" and samples[2].image == tmp_path / "img/c.png"


def test_manifest_splits(tmp_path: Path) -> None:
    path = manifest(tmp_path, TABLE)
    assert names(read_layout(path, split="train")) == ["img/b.png", "img/a.png"]
    assert names(read_layout(str(path), split="test")) == ["img/c.png", "img/d.png", "img/e.png"]


def test_without_a_split_column_normal_rows_train(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label\na.png,0\nb.png,1\nc.png,\n")
    assert names(read_layout(path, split="train")) == ["a.png"]
    assert names(read_layout(path, split="test")) == ["a.png", "b.png", "c.png"]


def test_without_a_label_column_training_rows_are_normal(tmp_path: Path) -> None:
    samples = read_layout(manifest(tmp_path, "split,path\ntrain,a.png\ntest,b.png\n"), split="train")
    assert [(s.name, s.label) for s in samples] == [("a.png", 0)]


def test_byte_order_mark_and_absolute_paths_are_fine(tmp_path: Path) -> None:
    path = manifest(tmp_path, f"path\n{tmp_path}/ü.png\n", "utf-8-sig")
    assert read_layout(path)[0].image == tmp_path / "ü.png"


@pytest.mark.parametrize("test_row", ["", "{0}/test/x.png,test\n", "/elsewhere/x.png,test\n"])
def test_short_names_of_training_rows_do_not_depend_on_the_test_rows(tmp_path: Path, test_row: str) -> None:
    rows = "path,split\n{0}/train/a.png,train\n{0}/train/b.png,train\n" + test_row
    samples = read_layout(manifest(tmp_path, rows.format(tmp_path)), split="train")
    assert names(samples) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"line 1: no column `path` among none"),
        ("file,label\na.png,0\n", r"line 1: no column `path` among file, label"),
        ("path,label\na.png,0\n\nb.png,maybe\n", r"line 4: unknown label 'maybe'"),
        ("path,split\na.png,val\n", r"line 2: unknown split 'val'"),
        ("path,label\n,0\n", r"line 2: the path is empty"),
        ("label,path\n0\n", r"line 2: the path is empty"),
        ("path\na.png\nb.png\n./a.png\n", r"line 4: a\.png is in line 2 already"),
        ("path,label\n", r"has no rows"),
    ],
)
def test_wrong_manifests_are_refused_by_line(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"m\.csv.*{complaint}"):
        read_layout(manifest(tmp_path, text))


def test_manifest_without_rows_of_the_split_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label,split\na.png,1,train\n")
    with pytest.raises(DataError, match="none of its 1 rows is a normal"):
        read_layout(path, split="train")
    with pytest.raises(DataError, match="none of its 1 rows is in the test split"):
        read_layout(path, split="test")


def test_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe\x00")
    with pytest.raises(DataError, match=r"m\.csv: cannot be read"):
        read_layout(tmp_path / "m.csv")


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    columns = {
        "path": ["img/a.png", "img/b.png", "img/c.png"],
        "label": [0, 1, None],
        "mask": [None, "m/b.png", None],
        "split": ["train", "test", None],
        "vector": [[1.0], [2.0], [3.0]],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "m.parquet")
    text = "path,label,mask,split\nimg/a.png,0,,train\nimg/b.png,1,m/b.png,test\nimg/c.png,,,\n"
    assert read_layout(tmp_path / "m.parquet") == read_layout(manifest(tmp_path, text))


@pytest.mark.parametrize("labels", [[False, True], [0.0, 1.0], ["ok", "NG"]])
def test_parquet_labels_of_any_type(labels: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.png", "b.png"], "label": labels}), path)
    assert [s.label for s in read_layout(path)] == [0, 1]


def test_parquet_errors_name_the_row_and_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a.png", None]}), path)
    with pytest.raises(DataError, match=r"row 2: the path is empty"):
        read_layout(path)
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"bad\.parquet: is not a readable Parquet file"):
        read_layout(tmp_path / "bad.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'pip install "daad\[parquet\]"'):
        read_layout(path)


def test_names_from_absolute_paths_do_not_depend_on_where_the_data_lie(tmp_path: Path) -> None:
    training_names = []
    for folder in ("here", "elsewhere/deep"):
        root = tmp_path / folder
        touch(root, "a/0.png", "a/1.png", "b/0.png")
        manifest = root / "m.csv"
        lines = [f"{root / 'a' / '0.png'},train", f"{root / 'a' / '1.png'},train", f"{root / 'b' / '0.png'},test"]
        manifest.write_text("path,split\n" + "\n".join(lines) + "\n")
        training_names.append(names(read_layout(manifest, split="train")))
    assert training_names == [["0.png", "1.png"]] * 2


def test_a_short_name_that_is_taken_is_not_given_twice(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "far/0.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path\n0.png\n{tmp_path / 'far' / '0.png'}\n")
    assert names(read_layout(manifest)) == ["0.png", str(tmp_path / "far" / "0.png")]
