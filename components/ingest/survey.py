"""The size of a source, without reading its images."""

import dataclasses
from functools import partial

from components.artifacts.image_names import COMPETITION_NAMES, TEST, ImageNames
from components.ingest.archive.directory import read_directory
from components.ingest.archive.remote import RangesRefusedError, RemoteFile
from components.ingest.sources.classes_csv import class_names_of
from components.ingest.sources.kaggle_access import find_archive
from components.ingest.sources.label_table import USUAL_TABLE, LabelTable
from components.ingest.sources.open_source import open_source


@dataclasses.dataclass(frozen=True)
class Survey:
    """The size of a source. None if it would take long to find out.

    Attributes:
        num_samples: The number of samples that ingest would store.
        num_bytes: The size of the archive, or of all images.
    """

    num_samples: int | None
    num_bytes: int | None


def survey(
    source: str,
    include_test: bool = False,
    classes: str = "",
    image_names: ImageNames = COMPETITION_NAMES,
    table: LabelTable = USUAL_TABLE,
) -> Survey:
    """Reads the directory of an archive, or the listing of a folder.

    Raises:
        ValueError: If the kind of source is unknown, or its table of labels is invalid.
        OSError: If the source does not exist, access is denied, or it cannot be reached.
    """
    kind, _, name = source.partition(":")
    if kind == "kaggle":
        return _survey_archive(RemoteFile(partial(find_archive, name)), include_test)
    class_names = class_names_of(classes, source, table.first_class)
    with open_source(source, class_names, include_test, image_names, table) as opened:
        num_samples = sum(not listed.reason for listed in opened.listed())
        if opened.is_synthetic:
            return Survey(num_samples, None)
        images = (image for chunk in opened.chunks() for image in chunk)
        return Survey(num_samples, sum(image.content.num_bytes for image in images if image.content))


def _survey_archive(file: RemoteFile, include_test: bool) -> Survey:
    try:
        names = [member.name for member in read_directory(file).members]
    except RangesRefusedError:  # ingest would download all of it first
        return Survey(None, file.num_bytes)
    split = [name.rpartition("/") for name in names]
    parsed = {
        (folder, found[0])
        for folder, _, file_name in split
        if (found := COMPETITION_NAMES.parse(file_name)) and (include_test or folder.rpartition("/")[2] != TEST)
    }
    return Survey(len(parsed) or None, file.num_bytes)  # None if the images are in nested archives
