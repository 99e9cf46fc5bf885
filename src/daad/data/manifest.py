"""Manifests: a CSV or Parquet table with one row per image."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from daad.data.folders import NORMAL_NAMES
from daad.data.sample import Sample, Split
from daad.errors import DataError

MANIFEST_EXTENSIONS = (".csv", ".parquet")
COLUMNS = ("path", "label", "mask", "split", "group")
_NORMAL = {"0", "0.0", "false", *NORMAL_NAMES}
_UNSPECIFIC = {"1", "1.0", "true"}  # anomalous, without a kind of defect
_ANOMALOUS = {*_UNSPECIFIC, "anomalous", "anomaly", "abnormal", "bad", "defect", "defective", "ng", "ko", "nok"}
_BLANK = ("", "nan", "none", "null")
Row = dict[str, str]


def read_manifest(path: Path, split: Split | None) -> list[Sample]:
    """List the samples of a manifest, in its order.

    Columns, of which `path` alone is needed: `path` and `mask` (relative to the manifest's folder), `label` (0, good,
    normal, ok or 1, anomalous, defect, ...; empty if unknown), `split` (train, test or empty), `group`. Others are
    ignored. "train" gives the rows of label 0 (all rows if none has a label) that are in the train split; without a
    split column every row counts for either split. Raises DataError, which names the line (CSV) or row (Parquet).
    """
    columns, rows = _table(path)
    if "path" not in columns:
        raise DataError(
            f"{path}, line 1: no column `path` among {', '.join(columns) or 'none'}; name the image column so"
        )
    samples: list[Sample] = []
    locations: dict[str, str] = {}
    for location, row in rows:
        sample = _sample(path, location, row)
        if sample.name in locations:
            raise DataError(f"{path}, {location}: {sample.name} is in {locations[sample.name]} already; keep one row")
        samples.append(sample)
        locations[sample.name] = location
    chosen = _with_short_names(samples if split is None else _of_split(samples, split, columns))
    if not chosen:
        required = {"train": "is a normal (label 0) image in the train split", "test": "is in the test split"}
        reason = f"none of its {len(samples)} rows {required[split]}" if split and samples else "has no rows"
        raise DataError(f"{path}: {reason}; fill in the columns `path`, `label` and `split`")
    return chosen


def _with_short_names(samples: list[Sample]) -> list[Sample]:
    """Name absolute paths relative to their common folder. Samples keep their long names where a short one is taken.

    So names, and what is held out by name, do not depend on the folder of the data. `samples` are of one split: what is
    held out from training must not depend on the test rows either.
    """
    absolute = [sample for sample in samples if PurePath(sample.name).is_absolute()]
    if not absolute:
        return samples
    try:
        common = os.path.commonpath([PurePath(sample.name).parent for sample in absolute])
    except ValueError:  # several drives
        return samples
    short = {sample.name: PurePath(sample.name).relative_to(common).as_posix() for sample in absolute}
    if {sample.name for sample in samples} & set(short.values()):
        return samples
    return [replace(sample, name=short.get(sample.name, sample.name)) for sample in samples]


def _of_split(samples: list[Sample], split: Split, columns: list[str]) -> list[Sample]:
    chosen = [s for s in samples if s.split == split] if "split" in columns else samples
    if split == "test":
        return chosen
    if all(s.label is None for s in samples):
        return [Sample(s.image, s.name, 0, None, "train", s.group, "good") for s in chosen]
    return [s for s in chosen if s.label == 0]


def _sample(manifest: Path, location: str, row: Row) -> Sample:
    if not row.get("path"):
        raise DataError(f"{manifest}, {location}: the path is empty; give the image's path or remove the line")
    word = row.get("label", "").lower()
    label = _label(manifest, location, word)
    mask = row.get("mask", "")
    return Sample(
        image=manifest.parent / row["path"],
        name=Path(row["path"]).as_posix(),
        label=label,
        mask=manifest.parent / mask if mask else None,
        split=_split(manifest, location, row.get("split", "")),
        group=row.get("group") or None,
        defect={0: "good", 1: "anomalous" if word in _UNSPECIFIC else word}[label] if label is not None else None,
    )


def _label(manifest: Path, location: str, word: str) -> int | None:
    if not word:
        return None
    if word in _NORMAL:
        return 0
    if word in _ANOMALOUS:
        return 1
    raise DataError(
        f"{manifest}, {location}: unknown label {word!r}; write 0 or good for normal, 1 or anomalous for anomalous, "
        "or leave it empty"
    )


def _split(manifest: Path, location: str, text: str) -> Split | None:
    word = text.lower()
    if word in ("train", "test"):
        return "train" if word == "train" else "test"
    if not word:
        return None
    raise DataError(f"{manifest}, {location}: unknown split {text!r}; write train or test, or leave it empty")


def _table(path: Path) -> tuple[list[str], list[tuple[str, Row]]]:
    """The names of the columns, and every row with its location ("line 2" or "row 1")."""
    try:
        return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a manifest ({error}); save it again as UTF-8 CSV or Parquet"
        ) from error


def _csv(path: Path) -> tuple[list[str], list[tuple[str, Row]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        columns = [name.strip().lower() for name in next(reader, [])]
        rows = [(f"line {reader.line_num}", _row(columns, values)) for values in reader if any(values)]
    return columns, rows


def _parquet(path: Path) -> tuple[list[str], list[tuple[str, Row]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f'{path}: a Parquet manifest needs pyarrow: pip install "daad[parquet]", or save a CSV'
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = list(file.schema_arrow.names)
        known = [name for name in names if name.strip().lower() in COLUMNS]
        table = file.read(columns=known).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a readable Parquet file ({error}); save it again") from error
    columns = [name.strip().lower() for name in known]
    rows = [(f"row {i + 1}", _row(columns, [row[name] for name in known])) for i, row in enumerate(table)]
    return [name.strip().lower() for name in names], rows


def _row(columns: list[str], values: list[Any]) -> Row:
    texts = ["" if value is None else str(value).strip() for value in values]
    return {column: "" if text.lower() in _BLANK else text for column, text in zip(columns, texts, strict=False)}
