"""A suite: many runs, each a process of its own on one thread, each kept at once in one JSON file.

    jobs -> (those not yet in results/NAME.json) -> a few processes at a time -> a row each -> results/NAME.json

A run that is already there is skipped, so a suite can be stopped and started. A run that fails, crashes or hangs leaves
a row that says so, and is tried again the next time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SCHEMA = 2

Job = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """What is run: `jobs` name the runs by the fields `keys`; `measure(data, job)` gives the rest of a job's row."""

    name: str
    keys: tuple[str, ...]
    jobs: Sequence[Job]
    measure: Callable[[Path, Job], Row]
    timeout_s: float = 3600
    prepare: Callable[[], object] | None = None  # once, before the first run

    @property
    def results(self) -> Path:
        return RESULTS / f"{self.name}.json"

    def key(self, row: Row) -> tuple[str, ...]:
        """What tells a run from another."""
        return tuple(str(row[name]) for name in self.keys)


def run_suite(suite: Suite, description: str | None) -> None:
    """The command line of a suite; its module must be runnable as `python -m benchmarks.NAME`."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the data sets")
    parser.add_argument("--results", type=Path, default=suite.results)
    parser.add_argument("--only", nargs="+", default=[], metavar="FIELD=VALUE[,VALUE]", help="run a part of the suite")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(without_nan(one_row(suite, arguments.data, arguments.one)), allow_nan=False))
        return
    wanted = chosen(suite, arguments.only)
    if suite.prepare:
        suite.prepare()
    run_all(suite, wanted, arguments.data, arguments.results, arguments.processes)


def chosen(suite: Suite, only: Sequence[str]) -> list[Job]:
    """The jobs that every FIELD=VALUE[,VALUE] lets through."""
    filters = [text.partition("=")[::2] for text in only]
    for field, values in filters:
        known = sorted({str(job.get(field)) for job in suite.jobs})
        unknown = set(values.split(",")) - set(known)
        if field not in suite.keys or unknown:
            sys.exit(f"--only {field}={values}: fields are {', '.join(suite.keys)}; {field} is one of {known}")
    return [job for job in suite.jobs if all(str(job[field]) in values.split(",") for field, values in filters)]


def run_all(suite: Suite, wanted: Sequence[Job], data: Path, results: Path, processes: int) -> None:
    """Run what is missing, a few processes at a time, and keep each row as it comes."""
    rows = {suite.key(row): row for row in read_rows(results)}
    missing = [job for job in wanted if "error" in rows.get(suite.key(job), {"error": "not run"})]
    lock = Lock()

    def one(job: Job) -> None:
        row = in_own_process(suite, job, data)
        with lock:
            rows[suite.key(row)] = row
            write_rows(suite, results, list(rows.values()))
            done = sum("error" not in rows.get(suite.key(each), {"error": ""}) for each in wanted)
            print(f"{done}/{len(wanted)} {suite.key(job)}: {row.get('error', 'done')}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(one, missing))


def in_own_process(suite: Suite, job: Job, data: Path) -> Row:
    """A job's row from a fresh process on one thread."""
    module = f"benchmarks.{suite.name}"
    command = [sys.executable, "-m", module, "--data", str(data), "--one", json.dumps(job)]
    environment = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=suite.timeout_s
        )
    except subprocess.TimeoutExpired:
        return {**job, "error": f"stopped after {suite.timeout_s:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**job, "error": f"exit {done.returncode}: {last}"}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def one_row(suite: Suite, data: Path, job: Job) -> Row:
    """One row; where it cannot be made, one that says why."""
    import torch

    torch.set_num_threads(1)
    try:
        measured = suite.measure(data, job)
    except Exception as error:
        traceback.print_exc()
        return {**job, "error": f"{type(error).__name__}: {error}"}
    return {**job, **measured, "provenance": provenance()}


def without_nan(value: Any) -> Any:
    """The same with null for every number that is none: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file; none where there is no file yet."""
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def write_rows(suite: Suite, path: Path, rows: list[Row]) -> None:
    """The whole file anew, then in place of the old one."""
    body = {"schema": SCHEMA, "suite": suite.name, "rows": sorted(rows, key=suite.key)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(body, indent=1) + "\n")
    temporary.replace(path)
