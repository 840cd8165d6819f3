"""Finds the samples of a folder: `<Id>_<filter>.png`, as the competition names its images."""

import logging
from dataclasses import dataclass

from components.ingest.layout import TEST, TRAIN, by_sample
from components.shared import storage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFiles:
    """The images of one sample.

    Attributes:
        sample_id: What their names begin with.
        uris: Where each filter's image is.
        num_bytes: Their size together.
        problem: Why the sample cannot be used, as far as names tell; empty where nothing is wrong with them.
    """

    sample_id: str
    uris: dict[str, str]
    num_bytes: int
    problem: str = ""


def find_images(images_uri: str, filters: list[str]) -> list[ImageFiles]:
    """The samples of a folder, sorted by their ids. Labels are not looked at.

    In the competition's layout, with no images beside `train.csv`, those of the folder `test` are taken, or else of `train`.

    Args:
        images_uri: The folder.
        filters: The filters that are wanted, of those that a sample has.

    Raises:
        FileNotFoundError: If there are no such images.
    """
    for folder in (images_uri, storage.join(images_uri, TEST), storage.join(images_uri, TRAIN)):
        files = storage.list_files(folder)
        # With what has an image's name and is no file: links that lead nowhere or in circles, folders.
        if samples := by_sample(storage.list_names(folder)):
            _log.info("%d samples in %s", len(samples), folder)
            return [_sample(sample_id, samples[sample_id], filters, folder, files) for sample_id in sorted(samples)]
    raise FileNotFoundError(f"{images_uri}: expected images such as <Id>_green.png. There are none, nor in {TEST} or {TRAIN}")


def _sample(
    sample_id: str, names: dict[str, str], filters: list[str], folder: str, files: dict[str, storage.StoredFile]
) -> ImageFiles:
    wanted = {name: names[name] for name in filters if name in names}
    num_bytes = sum(files[file].num_bytes for file in wanted.values() if file in files)
    uris = {name: storage.join(folder, file) for name, file in wanted.items()}
    return ImageFiles(sample_id, uris, num_bytes, _problem(sample_id, wanted, files))


def _problem(sample_id: str, wanted: dict[str, str], files: dict[str, storage.StoredFile]) -> str:
    try:
        sample_id.encode()
    except UnicodeEncodeError:  # what the file system holds is in another encoding
        return "its file name is not in UTF-8: rename it"
    no_files = [name for name, file in wanted.items() if file not in files]
    return f"the {no_files[0]} filter is no file, but a folder, or a link that leads to none" if no_files else ""
