"""A small folder of synthetic images with custom classes, stains and file names."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.runtime.progress import progress_bar
from components.synthetic.samples import SyntheticSample, render_sample

# The stains' names in file names; the endoplasmic reticulum has none.
STAINS = {"red": "tubulin", "green": "antibody", "blue": "DAPI"}
_PLACES = {"nucleus": "Nucle", "membrane": "Plasma membrane", "cytoplasm": ""}
_PER_PLATE = 24


def write_example(folder: Path, num_samples: int) -> None:
    """Writes classes.csv, train.csv with class names, and images of three stains in a folder per plate.

    Raises:
        FileExistsError: If the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} already exists: give another name, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with progress_bar(num_samples, "samples") as progress:
        for number in range(num_samples):
            name = f"plate{number // _PER_PLATE + 1}/well{number % _PER_PLATE + 1:02d}"
            sample = render_sample(0, number)
            _write_images(folder, name, sample)
            rows.append([name, "; ".join(_places(sample.labels))])
            progress.update(1)
    _write_csv(folder / "classes.csv", ["index", "name"], enumerate(_PLACES))
    _write_csv(folder / "train.csv", ["Id", "Target"], rows)


def _write_images(folder: Path, name: str, sample: SyntheticSample) -> None:
    for filter_name in FILTERS:
        if stain := STAINS.get(filter_name):
            path = folder / f"{name}-{stain}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(sample.pngs[filter_name])


def _places(labels: Iterable[int]) -> Sequence[str]:
    """A synthetic sample's labels in three classes instead of 28."""
    names = [CLASS_NAMES[label] for label in labels]
    found = {next(place for place, start in _PLACES.items() if name.startswith(start)) for name in names}
    return [place for place in _PLACES if place in found]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
