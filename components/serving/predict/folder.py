"""Finds the samples of a folder, whatever its files are called."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, SUFFIXES, TEST, TRAIN, ImageNames, by_filter
from components.artifacts.sample_ids import id_problem
from components.storage.store import StoredFile

_log = logging.getLogger(__name__)

# Images to people, that no reader here takes.
_OTHER_SUFFIXES = (".bmp", ".gif", ".webp")
_ZARR = ".zarr"


@dataclass(frozen=True)
class ImageFiles:
    """The images of one sample.

    Attributes:
        sample_id: What their names begin with.
        uris: Where each filter's image is: in one file where that holds all channels.
        num_bytes: Their size together.
        problem: Why the sample cannot be used, as far as names tell; empty where nothing is wrong with them.
    """

    sample_id: str
    uris: dict[str, str]
    num_bytes: int
    problem: str = ""


@dataclass(frozen=True)
class FoundImages:
    """What a folder holds.

    Attributes:
        samples: The samples, sorted by their ids.
        ignored: Images that belong to no sample: the reason by the path from the folder on.
    """

    samples: list[ImageFiles]
    ignored: dict[str, str]


def find_images(images_uri: str, filters: list[str], image_names: ImageNames = COMPETITION_NAMES) -> FoundImages:
    """The samples of a folder. Labels are not looked at.

    In the competition's layout, with no images beside `train.csv`, those of the folder `test` are taken, or else of `train`.

    Args:
        images_uri: The folder.
        filters: The filters that are wanted, of those that a sample has.
        image_names: How the files are named.

    Raises:
        FileNotFoundError: If there are no such images.
    """
    everything = storage.list_files(images_uri, is_deep=True)
    beside = {path: file for path, file in everything.items() if path.partition("/")[0] not in (TEST, TRAIN)}
    for part, files in (("", beside), *((part, _below(part, everything)) for part in (TEST, TRAIN))):
        folder = storage.join(images_uri, part) if part else images_uri
        # With what has an image's name and is no file: links that lead nowhere or in circles, folders.
        if samples := image_names.by_sample(dict.fromkeys([*files, *storage.list_names(folder)])):
            _log.info("%d samples in %s", len(samples), folder)
            found = [_sample(sample_id, samples[sample_id], filters, folder, files) for sample_id in sorted(samples)]
            return FoundImages(found, _ignored(files, image_names))
    raise FileNotFoundError(
        f"{images_uri}: expected images such as {image_names.example()}. There are none, nor in {TEST} or {TRAIN}"
    )


def _ignored(paths: Iterable[str], image_names: ImageNames) -> dict[str, str]:
    """The images whose names mean no sample, with the reason. Hidden files are left out."""
    reasons = {}
    for path in sorted(paths):
        lower = path.lower()
        if path.startswith(".") or "/." in path:
            continue
        if f"{_ZARR}/" in lower:  # a folder of many files
            reasons[path[: lower.index(f"{_ZARR}/") + len(_ZARR)]] = "ignored: OME-Zarr is not read. Convert it to OME-TIFF"
        elif lower.endswith(_OTHER_SUFFIXES):
            reasons[path] = f"ignored: {PurePosixPath(lower).suffix} files are not read. Save it as PNG or TIFF"
        elif lower.endswith(SUFFIXES) and not image_names.parse(path):
            named = f" with filters={image_names.filters}" if image_names.filters else ""
            reasons[path] = f"ignored: its name does not fit file_pattern={image_names.pattern}{named}"
    return reasons


def _below(part: str, files: dict[str, StoredFile]) -> dict[str, StoredFile]:
    return {path.removeprefix(f"{part}/"): file for path, file in files.items() if path.startswith(f"{part}/")}


def _sample(sample_id: str, names: dict[str, str], filters: list[str], folder: str, files: dict[str, StoredFile]) -> ImageFiles:
    found = by_filter(names, filters)
    wanted = {name: found[name] for name in filters if name in found}
    num_bytes = sum(files[file].num_bytes for file in set(wanted.values()) if file in files)
    uris = {name: storage.join(folder, file) for name, file in wanted.items()}
    return ImageFiles(sample_id, uris, num_bytes, _problem(sample_id, wanted, files))


def _problem(sample_id: str, wanted: dict[str, str], files: dict[str, StoredFile]) -> str:
    if problem := id_problem(sample_id):
        return f"its id {problem}"
    no_files = [name for name, file in wanted.items() if file not in files]
    return f"the {no_files[0]} filter is no file, but a folder, or a link that leads to none" if no_files else ""
