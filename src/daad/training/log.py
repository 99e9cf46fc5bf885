"""The run log: one CSV row for every loss term of a step, and TensorBoard events where that is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path
from typing import Any

from daad.files import write_atomically

COLUMNS = ["stage", "step", "player", "term", "value", "learning_rate"]


class RunLog:
    """Append loss terms to `folder/log.csv` (columns of COLUMNS), and to `folder/tensorboard` where it is installed.

    On resume, rows after the checkpoint are dropped. So the log equals that of an uninterrupted run.
    """

    def __init__(self, folder: Path, *, resume_at: tuple[int, int] | None = None) -> None:
        path = folder / "log.csv"
        rows = _rows_before(path, resume_at) if resume_at is not None else []
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *rows])
        write_atomically(path, text.getvalue().encode())  # complete at every moment: a second kill loses no rows
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._board = _tensorboard(folder / "tensorboard", resume_at[1] if resume_at else None)

    def write(self, stage: int, step: int, player: str, terms: dict[str, float], learning_rate: float) -> None:
        """Record the loss terms of one player's step.

        Args:
            stage: number of the stage.
            step: number of the step in its stage.
            player: name of the player.
            terms: weighted loss terms by name.
            learning_rate: of the step.
        """
        for term, value in terms.items():
            self._writer.writerow([stage, step, player, term, repr(value), repr(learning_rate)])
            if self._board is not None:
                self._board.add_scalar(f"{stage}/{player}/{term}", value, step)

    def flush(self) -> None:
        """Bring everything written so far to disk."""
        self._file.flush()

    def close(self) -> None:
        """Finish the log."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _rows_before(path: Path, position: tuple[int, int]) -> list[list[str]]:
    """The rows before a position (stage, step); rows that a crash left unreadable are dropped."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
    numbered = [row for row in rows if row[0].isdecimal() and row[1].isdecimal()]
    return [row for row in numbered if (int(row[0]), int(row[1])) < position]


def _tensorboard(folder: Path, purge_step: int | None) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)
