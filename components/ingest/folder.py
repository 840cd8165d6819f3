"""The source `dir:<path>`: a folder in the competition's layout."""

import csv
import hashlib
import io
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from components.ingest.source import Listed
from components.shared.labels import FILTERS, parse_target

_COLUMNS = ["Id", "Target"]
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass
class Folder:
    """`train.csv` with the columns Id and Target, and `<Id>_<filter>.png` beside it or in the folder `train`.

    Raises:
        FileNotFoundError: If the folder or train.csv does not exist.
        ValueError: If train.csv is wrong as a whole, or no row of it has an image.
    """

    path: Path
    num_classes: int
    num_without_files: int = field(init=False, default=0)
    is_constant: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.path = self.path.resolve()
        labels_path = self.path / "train.csv"
        if not labels_path.is_file():
            raise FileNotFoundError(f"{labels_path}: expected the label file, with the columns Id,Target; there is none")
        self._images_dir = self.path / "train" if (self.path / "train").is_dir() else self.path
        self._present = _files_by_id(self._images_dir)
        rows = read_labels(labels_path, self.num_classes)
        self._listed = [row for row in rows if row.reason or row.sample_id in self._present]
        self.num_without_files = len(rows) - len(self._listed)
        if not any(row.sample_id in self._present for row in rows):
            raise ValueError(
                f"{self._images_dir}: none of the {len(rows)} samples of {labels_path} has an image here. "
                f"Expected files such as {rows[0].sample_id if rows else '<Id>'}_green.png"
            )

    @property
    def name(self) -> str:
        """The folder's own name, and a hash of its full path: two folders of one name do not mix."""
        return f"dir-{self.path.name[:64] or 'root'}-{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}"

    @property
    def licence(self) -> str:
        """What a folder cannot say."""
        return "as the owner of the folder states; images of the Human Protein Atlas are CC BY-SA, credit: Human Protein Atlas"

    def validator(self) -> str:
        """Names, sizes and modification times of all files: a shortcut that only a local folder has."""
        digest = hashlib.sha256(str(self.num_classes).encode())
        images = (self._images_dir / name for names in self._present.values() for name in names.values())
        for path in sorted([self.path / "train.csv", *images]):
            stat = path.stat()
            digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return f"files:{digest.hexdigest()}"

    def listed(self) -> list[Listed]:
        """The rows of train.csv that have at least one image, or that are wrong."""
        return self._listed

    def read(self, sample_id: str) -> dict[str, bytes]:
        """Reads the sample's files as they are."""
        return {name: (self._images_dir / file).read_bytes() for name, file in self._present.get(sample_id, {}).items()}


def _files_by_id(folder: Path) -> dict[str, dict[str, str]]:
    """File names by sample and filter, of all `<id>_<filter>.png` in a folder."""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in os.scandir(folder):
        file = PurePath(entry.name)
        sample_id, _, name = file.stem.rpartition("_")
        if file.suffix == ".png" and name in FILTERS and entry.is_file():
            files[sample_id][name] = entry.name
    return dict(files)


def read_labels(path: Path, num_classes: int) -> list[Listed]:
    """Reads train.csv, in UTF-8 with or without a byte order mark, with any line ends.

    A row that is wrong comes back with its reason; of an id that comes twice, one row with the reason.

    Raises:
        ValueError: If the file is wrong as a whole: its encoding, its columns, or a line that is no CSV.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b".").splitlines())
        raise ValueError(
            f"{path}, line {line}: expected text in UTF-8. Received: byte 0x{error.object[error.start]:02x}"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if [column.strip() for column in header] != _COLUMNS:
            raise ValueError(f"{path}, line 1: expected the columns Id,Target. Received: {','.join(header) or 'an empty file'}")
        rows: dict[str, tuple[int, Listed]] = {}
        for row in reader:
            if not row:
                continue
            listed = _parse_row(row, num_classes)
            if listed.sample_id in rows:
                first_line, _ = rows[listed.sample_id]
                reason = f"train.csv names it on line {first_line} and again on line {reader.line_num}"
                rows[listed.sample_id] = first_line, Listed(listed.sample_id, (), reason)
            else:
                rows[listed.sample_id] = reader.line_num, listed
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    return [listed for _, listed in rows.values()]


def _parse_row(row: list[str], num_classes: int) -> Listed:
    sample_id = row[0].strip()
    if len(row) != len(_COLUMNS):
        return Listed(sample_id, (), f"train.csv has {len(row)} columns in its row; expected Id,Target")
    if not _PLAIN_ID.fullmatch(sample_id):
        return Listed(
            sample_id, (), f"Id is no plain name of at most 200 letters, digits, '.', '_' and '-'. Received: {sample_id!r}"
        )
    try:
        return Listed(sample_id, parse_target(row[1], num_classes))
    except ValueError as error:
        return Listed(sample_id, (), str(error))
