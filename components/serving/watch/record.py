"""The files that a watch appends to, and resumes after any interruption."""

import contextlib
import csv
import fcntl
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from components.artifacts.damage import naming
from components.runtime.wording import printable
from components.serving.predict.outputs import predictions_header

_ADVICE = "give another --out"


class Record:
    """The results of a watch so far.

    | file | content |
    |---|---|
    | `predictions.csv` | a row for each field that was predicted, exactly once; columns as `predict` writes them |
    | `predictions.bad.csv` | Id and Reason of each field given up |
    | `predictions.jsonl` | a line of JSON for each field that was predicted, at least once |
    | `predictions.failed.csv` | Id and Reason of each action that failed |
    | `predictions.before.csv` | the skipped fields: those complete before the first start |

    Attributes:
        done: The ids of the fields that have an answer or are skipped.
    """

    def __init__(self, path: Path, class_names: Sequence[str], files: contextlib.ExitStack) -> None:
        self._path, self._class_names = path, class_names
        self._rows = files.enter_context(_open(path))
        try:
            fcntl.flock(self._rows, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path}: another watch writes to this file. Stop it, or give another --out") from None
        self._bad, self._failed = (files.enter_context(_open(self._beside(kind))) for kind in ("bad.csv", "failed.csv"))
        self._lines = files.enter_context(_open(self._beside("jsonl")))
        self.done = _continue(self._rows, path, predictions_header(class_names))
        self.done |= _continue(self._bad, self._beside("bad.csv"), ["Id", "Reason"])
        _continue(self._failed, self._beside("failed.csv"), ["Id", "Reason"])
        for _ in _whole_lines(self._lines):  # removes an incomplete last line
            pass

    def has_classes(self, class_names: Sequence[str]) -> bool:
        """Whether a model's classes are those of the columns."""
        return list(class_names) == list(self._class_names)

    def leave_out(self, complete: Iterable[str]) -> None:
        """Skips the fields that were complete before the first start, now and after every restart."""
        before = self._beside("before.csv")
        temporary = before.with_name(f"{before.name}.tmp")
        with temporary.open("wb") as file:
            _append(file, [["Id"], *([printable(sample_id)] for sample_id in complete)])
        temporary.replace(before)
        self.remember_left_out()

    def remember_left_out(self) -> bool:
        """Reads which fields are skipped. False if this is the first start."""
        before = self._beside("before.csv")
        if not before.exists():
            return False
        with naming(str(before), "ids of fields", _ADVICE), before.open(encoding="utf-8", newline="") as file:
            self.done.update(row[0] for row in itertools.islice(csv.reader(file), 1, None))
        return True

    def write_lines(self, answers: Sequence[dict[str, Any]]) -> None:
        """Appends lines of JSON."""
        _write(self._lines, "".join(f"{json.dumps(answer)}\n" for answer in answers).encode())

    def write_rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Appends the rows of predicted fields, which marks them as done."""
        self._write(self._rows, rows)

    def write_bad(self, rows: Sequence[Sequence[str]]) -> None:
        """Appends fields given up."""
        self._write(self._bad, rows)

    def write_failed(self, sample_id: str, reason: str) -> None:
        """Records a failed action."""
        _append(self._failed, [[sample_id, reason]])

    def _write(self, file: BinaryIO, rows: Sequence[Sequence[str]]) -> None:
        if rows:
            rows = [[printable(sample_id), *(" ".join(text.split()) for text in texts)] for sample_id, *texts in rows]
            _append(file, rows)
            self.done.update(row[0] for row in rows)

    def _beside(self, kind: str) -> Path:
        return self._path.with_name(f"{self._path.name.removesuffix('.csv')}.{kind}")


@contextlib.contextmanager
def open_record(path: Path, class_names: Sequence[str]) -> Iterator[Record]:
    """Opens or resumes the files of a watch.

    Raises:
        ValueError: If another watch writes to them, or they are for other classes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        yield Record(path, class_names, files)


def _open(path: Path) -> BinaryIO:
    return path.open("a+b")


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    """Yields the lines of a file, and removes a last one that a kill or a power cut left incomplete."""
    file.seek(0)
    num_bytes = 0
    for line in file:
        if not line.endswith(b"\n"):
            file.truncate(num_bytes)
            return
        num_bytes += len(line)
        yield line.decode("utf-8")


def _continue(file: BinaryIO, path: Path, header: list[str]) -> set[str]:
    """Removes an incomplete line, writes the header of a new file, and returns the ids of the rows."""
    with naming(str(path), "a table in UTF-8", _ADVICE):
        rows = [*csv.reader(_whole_lines(file))]
        ids = {row[0] for row in rows[1:]}
    found = rows[0] if rows else None
    if found is None:
        _append(file, [header])
    elif found != header:
        raise ValueError(
            f"{path}: expected the columns {','.join(header)}, to continue it. Received: {','.join(found)}. Give another --out"
        )
    return ids


def _append(file: BinaryIO, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    _write(file, text.getvalue().encode("utf-8", "backslashreplace"))


def _write(file: BinaryIO, content: bytes) -> None:
    """Appends all of the content, or nothing if the disk is full, so that a repeated start does not fill it with copies.

    It writes past the buffer: closing the file must not try again to write what the disk had no room for.
    """
    num_bytes, left = os.fstat(file.fileno()).st_size, memoryview(content)
    try:
        while left:
            left = left[os.write(file.fileno(), left) :]
        os.fsync(file.fileno())
    except OSError as error:
        os.ftruncate(file.fileno(), num_bytes)
        raise OSError(error.errno, error.strerror, str(file.name)) from None
