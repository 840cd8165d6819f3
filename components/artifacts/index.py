"""The index of a version of a source: one row per sample, with its labels, its files and any problem."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from components import storage
from components.artifacts.damage import naming
from components.artifacts.labels import FILTERS, format_target

_Place = TypeVar("_Place", bound=Hashable)

_NUMBER = re.compile(r"-?\d[\d.,e+-]*")
# A file's name may contain parentheses, as in `labels (2).csv`.
_AT_LINE = re.compile(r" \((?:[^()]|\([^()]*\))+, line \d+\)$")


def at_line(reason: str, file_name: str, line: int) -> str:
    """A reason with its file and line."""
    return f"{reason} ({file_name}, line {line})"


def without_line(reason: str) -> str:
    """A reason without its file and line."""
    return _AT_LINE.sub("", reason)


def kind_of(reason: str) -> str:
    """A reason without its line and numbers, such as sizes and grey levels, for counting reasons by kind."""
    return _NUMBER.sub("0", without_line(reason))


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file under `raw/<source>/images/`."""

    name: str
    num_bytes: int
    crc32c: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the index.

    Attributes:
        sample_id: The sample's id in the source.
        labels: Sorted class indices; empty if there is a `reason`, and for samples of the source's test set.
        batch: Which ingest added the sample: 0 for the first.
        reason: Why the sample cannot be used; empty if it can.
        files: The image of each filter that the source has.
        group: The source's group of samples that stay in one split, such as a plate; empty without a group.
        columns: The other columns of the source's table.
    """

    sample_id: str
    labels: tuple[int, ...]
    batch: int
    reason: str
    files: dict[str, ImageFile]
    group: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether the sample can be used for training, as far as its row shows."""
        return bool(self.labels) and not self.reason


def size_bytes(files: Iterable[ImageFile]) -> int:
    """The total size of files, each counted once: a file with all channels is listed for every filter."""
    return sum({file.name: file.num_bytes for file in files}.values())


def read_each_once(files: Mapping[str, _Place], read: Callable[[_Place], bytes]) -> dict[str, bytes]:
    """Reads the file of each filter. A file with all channels is read once, so that all filters share the bytes object."""
    contents = {place: read(place) for place in dict.fromkeys(files.values())}
    return {name: contents[place] for name, place in files.items()}


_HEADER = ["id", "labels", "batch", "reason"]
# Followed by three columns for each stain.
_FIELDS = ("_file", "_bytes", "_crc32c")
# Then, if there are any, the group, and the other columns of the source's table, with this prefix.
_GROUP, COLUMN = "group", "column:"


def dump_index(samples: Sequence[Sample]) -> bytes:
    """Writes an index as gzipped CSV: the same bytes for the same samples."""
    stains = _stains(samples)
    columns = column_names(sample.columns for sample in samples)
    groups = [_GROUP] if any(sample.group for sample in samples) else []
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
        io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_HEADER, *_file_columns(stains), *groups, *(f"{COLUMN}{name}" for name in columns)])
        for sample in samples:
            row: list[object] = [sample.sample_id, format_target(sample.labels), sample.batch, sample.reason]
            for name in stains:
                image = sample.files.get(name)
                row += [image.name, image.num_bytes, image.crc32c] if image else ["", "", ""]
            row += [sample.group] * len(groups) + [sample.columns.get(name, "") for name in columns]
            writer.writerow(row)
    return packed.getvalue()


def _stains(samples: Iterable[Sample]) -> list[str]:
    """The stains that any sample has; the four colours if there are no others."""
    found = column_names(sample.files for sample in samples)
    return list(FILTERS) if set(found) <= set(FILTERS) else found


def _file_columns(stains: Iterable[str]) -> list[str]:
    return [f"{name}{field}" for name in stains for field in _FIELDS]


def column_names(tables: Iterable[Mapping[str, object]]) -> list[str]:
    """The names of the columns that any sample has, in their first order."""
    return list(dict.fromkeys(name for columns in tables for name in columns))


def read_index(uri: str) -> list[Sample]:
    """Reads an index, in its own order (sorted by id).

    Raises:
        DamagedFileError: If it is damaged, or its columns are not those of an index.
    """
    # Streamed, because the text of a large index takes more memory than its samples.
    content = storage.read_bytes(uri)
    with (
        naming(uri, "an index of samples", "delete it and run again: ingest lists the source again"),
        gzip.open(io.BytesIO(content), "rt", encoding="utf-8", newline="") as text,
    ):
        rows = csv.reader(text)
        header = next(rows, None) or []
        own = [name for name in header if name != _GROUP and not name.startswith(COLUMN)]
        stains = [name.removesuffix(_FIELDS[0]) for name in own[len(_HEADER) :: len(_FIELDS)]]
        expected = [*_HEADER, *_file_columns(stains)]
        if not stains or header[: len(expected)] != expected:
            raise ValueError(f"{','.join(header)}, not the columns {','.join([*_HEADER, *_file_columns(FILTERS)])}")
        return [_parse_row(row, stains, header[len(expected) :]) for row in rows]


def _parse_row(row: list[str], stains: list[str], more: list[str]) -> Sample:
    sample_id, labels, batch, reason = row[: len(_HEADER)]
    end = len(_HEADER) + len(_FIELDS) * len(stains)
    files = {}
    for name, start in zip(stains, range(len(_HEADER), end, len(_FIELDS)), strict=True):
        file_name, num_bytes, crc32c = row[start : start + len(_FIELDS)]
        if file_name:
            files[name] = ImageFile(file_name, int(num_bytes), crc32c)
    columns = dict(zip(more, row[end:], strict=True))
    group = columns.pop(_GROUP, "")
    named = {name.removeprefix(COLUMN): value for name, value in columns.items() if value}
    return Sample(sample_id, tuple(int(label) for label in labels.split()), int(batch), reason, files, group, named)
