"""Finds the samples of a folder by the names of its files."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, SUFFIXES, TEST, TRAIN, ImageNames, by_filter
from components.artifacts.labels import stains_of_source
from components.artifacts.parameters import check_parameters
from components.artifacts.sample_ids import unusable_id
from components.images.image_files import list_images
from components.runtime.wording import count_of
from components.storage.store import StoredFile

_log = logging.getLogger(__name__)

# Images of formats that are not read.
_OTHER_SUFFIXES = (".bmp", ".gif", ".webp", ".svs", ".oib", ".oif", ".lsm", ".vsi")


@dataclass(frozen=True)
class ImageFiles:
    """The images of one sample.

    Attributes:
        sample_id: The `{id}` in their names.
        uris: The image of each filter: the same file for all if it holds all channels.
        num_bytes: Their total size.
        problem: Why the sample cannot be used, as far as names show; empty if nothing is wrong with them.
    """

    sample_id: str
    uris: dict[str, str]
    num_bytes: int
    problem: str = ""


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder.

    Attributes:
        samples: Sorted by their ids.
        ignored: Image files that belong to no sample, each path below the folder with the reason, sorted.
    """

    samples: list[ImageFiles]
    ignored: dict[str, str]


def with_stains(image_names: ImageNames, channels: Sequence[str]) -> ImageNames:
    """How the images are named, with the stains of a model.

    Args:
        image_names: How files are named, with any stains.
        channels: The stains that the model takes.

    Raises:
        ValueError: If `image_names.filters` names other stains.
    """
    check_parameters(channels=",".join(channels), filters=image_names.filters)
    return replace(image_names, stains=stains_of_source(channels))


def find_images(images_uri: str, filters: list[str], image_names: ImageNames = COMPETITION_NAMES) -> FoundImages:
    """Finds the samples of a folder, and the image files that belong to none. Labels are ignored.

    In the competition's layout, with no images beside `train.csv`, the images of `test` are used, or else those of `train`.

    Args:
        images_uri: The folder.
        filters: The filters to take of each sample.
        image_names: How the files are named.

    Raises:
        FileNotFoundError: If there is no such folder, or it has no such images.
    """
    if storage.is_local(images_uri) and not Path(images_uri).is_dir():
        raise FileNotFoundError(f"{images_uri}: expected a folder of images. There is no such folder")
    everything = list_images(images_uri)
    beside = {path: file for path, file in everything.items() if path.partition("/")[0] not in (TEST, TRAIN)}
    for part, files in (("", beside), *((part, _below(part, everything)) for part in (TEST, TRAIN))):
        folder = storage.join(images_uri, part) if part else images_uri
        # Includes entries with an image's name that are not files: folders, and broken or circular links.
        if samples := image_names.by_sample(dict.fromkeys([*files, *storage.list_names(folder)])):
            _log.info("%s in %s", count_of(len(samples), "sample"), folder)
            return FoundImages(
                [_sample(sample_id, samples[sample_id], filters, folder, files) for sample_id in sorted(samples)],
                _ignored(files, image_names),
            )
    problem = f"{images_uri}: expected images such as {image_names.example()}. There are none, nor in {TEST} or {TRAIN}"
    if others := list(_ignored(everything, image_names)):
        options = image_names.options_for(others, '--file-pattern "{}"') or "--file-pattern"
        problem += f". {count_of(len(others), 'image file')} with other names, such as {others[0]}: give {options}"
    raise FileNotFoundError(problem)


def _ignored(paths: Iterable[str], image_names: ImageNames) -> dict[str, str]:
    naming = f"file_pattern={image_names.pattern}" + (f" with filters={image_names.filters}" if image_names.filters else "")
    ignored = {}
    for image in paths:
        if image.startswith(".") or "/." in image or image_names.parse(image):
            continue
        if image.lower().endswith(_OTHER_SUFFIXES):
            ignored[image] = "has an unsupported format: convert it to PNG or TIFF"
        elif image.lower().endswith(SUFFIXES):
            ignored[image] = f"does not match {naming}: rename it, or run predict again with the --file-pattern of such files"
    return dict(sorted(ignored.items()))


def _below(part: str, files: dict[str, StoredFile]) -> dict[str, StoredFile]:
    return {path.removeprefix(f"{part}/"): file for path, file in files.items() if path.startswith(f"{part}/")}


def _sample(sample_id: str, names: dict[str, str], filters: list[str], folder: str, files: dict[str, StoredFile]) -> ImageFiles:
    found = by_filter(names, filters)
    wanted = {name: found[name] for name in filters if name in found}
    num_bytes = sum(files[file].num_bytes for file in set(wanted.values()) if file in files)
    uris = {name: storage.join(folder, file) for name, file in wanted.items()}
    return ImageFiles(sample_id, uris, num_bytes, _problem(sample_id, wanted, files))


def _problem(sample_id: str, wanted: dict[str, str], files: dict[str, StoredFile]) -> str:
    if problem := unusable_id(sample_id):
        return problem
    no_files = [name for name, file in wanted.items() if file not in files]
    return f"the {no_files[0]} filter is not a file, but a folder or a broken link" if no_files else ""
