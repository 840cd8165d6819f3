"""Converts images of any format to 8-bit PNG files that a run reads with default parameters, optionally in tiles."""

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from components.artifacts.image_names import TRAIN, ImageNames
from components.artifacts.index import read_each_once
from components.images.decode import Reading, decode_filters
from components.images.image import BadImageError
from components.images.image_files import read_image_file
from components.images.plausibility import check_exposure
from components.ingest.sources.classes_csv import CLASSES
from components.ingest.sources.source import Listed, Source, images_by_sample, read_sample
from components.runtime.progress import progress_bar
from components.runtime.wording import count_of
from components.serving.predict.folder import ImageFiles, find_images

# The column of the new table that names the field that a tile was cut from.
FIELD = "Field"
# The column with the group from the original's table.
_GROUP = "Group"


@dataclass(frozen=True)
class Original:
    """One sample to convert.

    Attributes:
        sample_id: Its id.
        read: Reads the image file of each filter. Raises BadImageError if the sample cannot be used.
        columns: The columns of the new table besides the id.
    """

    sample_id: str
    read: Callable[[], Mapping[str, bytes]]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A summary of the written files.

    Attributes:
        num_samples: How many samples were converted; each tile is a sample.
        bad: Why the other samples cannot be used, by id.
        num_blank: How many tiles were left out because a filter is empty.
    """

    num_samples: int
    bad: dict[str, str]
    num_blank: int


def labelled(source: Source, class_names: Sequence[str]) -> list[Original]:
    """The samples of a source with labels, which become class names in the column Target of the new table.

    Args:
        source: The source.
        class_names: The names of the classes, by index.
    """
    images = images_by_sample(source)

    def read(row: Listed) -> Mapping[str, bytes]:
        if row.reason:
            raise BadImageError(row.reason)
        return read_sample(source, images[row.sample_id])

    def columns(row: Listed) -> dict[str, str]:
        group = {_GROUP: row.group} if row.group else {}
        return {"Target": "; ".join(class_names[label] for label in row.labels), **group, **row.columns}

    return [Original(row.sample_id, partial(read, row), columns(row)) for row in source.listed()]


def unlabelled(images_uri: str, image_names: ImageNames) -> list[Original]:
    """The samples of a folder without a table of labels.

    Args:
        images_uri: The folder.
        image_names: How the images are named.

    Raises:
        FileNotFoundError: If there are no such images.
    """

    def read(sample: ImageFiles) -> Mapping[str, bytes]:
        if sample.problem:
            raise BadImageError(sample.problem)
        return read_each_once(sample.uris, read_image_file)

    found = find_images(images_uri, list(image_names.stains), image_names)
    return [Original(sample.sample_id, partial(read, sample)) for sample in found.samples]


def prepare(
    originals: Sequence[Original], out: Path, reading: Reading, tiles: int = 0, class_names: Sequence[str] = ()
) -> Prepared:
    """Writes `train/<id>_<filter>.png`, and `train.csv` with the columns Id, those of the originals and, for tiles, Field.

    Samples that cannot be used are listed in `bad.csv`. The folder appears when it is complete.

    Args:
        originals: The samples.
        out: The folder to create.
        reading: How files become 8-bit channels, and the stains to convert, as far as a sample has them.
        tiles: The number of squares along the shorter side: see `cut_tiles`. 0 leaves images whole.
        class_names: The names of the classes, by index, for `classes.csv`; empty for no such file.

    Raises:
        FileExistsError: If the folder exists.
        ValueError: If no sample can be used, with the reasons of some.
    """
    if out.exists():
        raise FileExistsError(f"{out} already exists: delete it, or give another name")
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    images = unfinished / TRAIN
    images.mkdir(parents=True)
    rows: list[dict[str, str]] = []
    bad: dict[str, str] = {}
    num_blank = 0

    def convert(original: Original) -> tuple[list[str], int] | BadImageError:
        try:
            return _convert(original, images, reading, tiles)
        except BadImageError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool, progress_bar(len(originals), "samples") as progress:
        for original, result in zip(originals, pool.map(convert, originals), strict=True):
            progress.update(1)
            if isinstance(result, BadImageError):
                bad[original.sample_id] = str(result)
                continue
            written, blank = result
            num_blank += blank
            rows += [{"Id": name, **original.columns, **({FIELD: original.sample_id} if tiles else {})} for name in written]
    if not rows:
        shutil.rmtree(unfinished)
        some = "\n".join(f"  {sample_id}: {reason}" for sample_id, reason in list(bad.items())[:5])
        raise ValueError(f"No image could be used, of {count_of(len(originals), 'sample')}:\n{some}")
    _write_table(unfinished / "train.csv", rows)
    if class_names:
        classes = [{"index": str(index), "name": name} for index, name in enumerate(class_names)]
        _write_table(unfinished / CLASSES, classes)
    if bad:
        _write_table(unfinished / "bad.csv", [{"Id": sample_id, "Reason": reason} for sample_id, reason in bad.items()])
    unfinished.rename(out)
    return Prepared(len(rows), bad, num_blank)


def cut_tiles(height: int, width: int, tiles: int) -> list[tuple[slice, slice]]:
    """Cuts a field into squares whose side is a fraction of the field's shorter side.

    Args:
        height: The height of the field in pixels.
        width: The width of the field in pixels.
        tiles: The number of squares along the shorter side. Along the longer side, as many as fit are centred.

    Returns:
        Rows and columns of each square, from the top left.
    """
    side = min(height, width) // tiles
    down, across = height // side, width // side
    top, left = (height - down * side) // 2, (width - across * side) // 2
    return [
        (slice(top + row * side, top + (row + 1) * side), slice(left + column * side, left + (column + 1) * side))
        for row in range(down)
        for column in range(across)
    ]


def _convert(original: Original, images: Path, reading: Reading, tiles: int) -> tuple[list[str], int]:
    """Writes the PNG files of a sample. Returns the ids of the written tiles and the number of blank ones."""
    files = original.read()
    filters = [name for name in reading.stains if name in files]
    planes = dict(zip(filters, decode_filters(files, filters, reading), strict=True))
    if not tiles:
        _write(images, original.sample_id, planes)
        return [original.sample_id], 0
    shapes = {plane.shape for plane in planes.values()}
    if len(shapes) > 1:
        raise BadImageError(
            f"filters of different sizes: {', '.join(f'{width} x {height}' for height, width in sorted(shapes))}"
        )
    height, width = shapes.pop()
    if min(height, width) < tiles:
        raise BadImageError(f"{width} x {height} pixels: too small for {tiles} tiles")
    written = []
    squares = cut_tiles(height, width, tiles)
    for number, square in enumerate(squares):
        cut = {name: plane[square] for name, plane in planes.items()}
        try:
            for plane in cut.values():
                check_exposure(plane)
        except BadImageError:
            continue
        written.append(f"{original.sample_id}-{number:0{len(str(len(squares) - 1))}d}")
        _write(images, written[-1], cut)
    return written, len(squares) - len(written)


def _write(images: Path, sample_id: str, planes: Mapping[str, np.ndarray]) -> None:
    for name, plane in planes.items():
        path = images / f"{sample_id}_{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", plane)[1].tobytes())


def _write_table(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
