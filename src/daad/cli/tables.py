"""Results as CSV, JSON lines or Parquet, written as they come: what was written stays, whatever happens later."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from daad.errors import ConfigError

COLUMNS = ("name", "score", "p_value", "is_anomalous", "threshold", "regions", "error")
PARQUET_ROWS = 1024
TABLE_START = 1 << 20  # bytes of a first line that are looked at


class Table(Protocol):
    """Takes one record at a time."""

    def write(self, record: dict[str, Any]) -> None: ...


@contextmanager
def open_table(path: Path | None) -> Iterator[Table]:
    """A table for `path`, its format from the ending; stdout as CSV for None."""
    if path is None:
        yield _Csv(sys.stdout)
        return
    if path.suffix not in (".csv", ".jsonl", ".parquet"):
        raise ConfigError(f"{path}: the ending says the format; use .csv, .jsonl or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        with _parquet(path) as table:
            yield table
        return
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        yield _Csv(file) if path.suffix == ".csv" else _JsonLines(file)


def is_own_table(path: Path) -> bool:
    """Whether a file that exists may be written over: a table that `open_table` began, or an empty file."""
    with path.open("rb") as file:
        start = file.readline(TABLE_START)
    if not start or path.suffix == ".csv":
        return not start or start.startswith(",".join(COLUMNS).encode())
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return tuple(pq.read_schema(path).names) == COLUMNS
        return tuple(json.loads(start)) == COLUMNS
    except (ImportError, OSError, ValueError, TypeError):  # pyarrow's own errors are ValueErrors
        return False


class _Csv:
    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._writer = csv.DictWriter(file, COLUMNS)
        self._writer.writeheader()

    def write(self, record: dict[str, Any]) -> None:
        self._writer.writerow({**record, "regions": json.dumps(record["regions"])})
        self._file.flush()


class _JsonLines:
    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()


@contextmanager
def _parquet(path: Path) -> Iterator[Table]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'daad[parquet]'") from None
    kinds = {"score": pa.float64(), "p_value": pa.float64(), "is_anomalous": pa.bool_(), "threshold": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()

        class Buffered:
            def write(self, record: dict[str, Any]) -> None:
                rows.append({**record, "regions": json.dumps(record["regions"])})
                if len(rows) >= PARQUET_ROWS:
                    flush()

        try:
            yield Buffered()
        finally:
            flush()
