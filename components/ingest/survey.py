"""How large a source is, without reading its images: `python -m components.ingest.survey <source>`, as JSON.

Ends with 3 and the reason if the source cannot be read, and with 4 if it could not find out.
"""

import argparse
import dataclasses
import json
import logging
import sys
from functools import partial

from components.artifacts.image_names import COMPETITION_NAMES, TEST, ImageNames
from components.artifacts.parameters import check_parameters
from components.ingest.archive.directory import read_directory
from components.ingest.archive.remote import RangesRefusedError, RemoteFile
from components.ingest.archive.retry import TransientError
from components.ingest.sources.classes_csv import class_names_of
from components.ingest.sources.kaggle_access import find_archive
from components.ingest.sources.open_source import open_source
from components.runtime.exit_status import UNKNOWN, WRONG
from components.storage import NoCredentialsError


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is known of a source. None where it would take more than a look to know.

    Attributes:
        num_samples: The samples that ingest would take.
        num_bytes: The size of the source: of an archive, or of all images.
    """

    num_samples: int | None
    num_bytes: int | None


def survey(source: str, include_test: bool = False, classes: str = "", image_names: ImageNames = COMPETITION_NAMES) -> Survey:
    """Looks at a source: at the directory of an archive, or the list of a folder.

    Raises:
        ValueError: If there is no such kind of source, or it is wrong as a whole.
        OSError: If it is not there, may not be read, or cannot be reached.
    """
    kind, _, name = source.partition(":")
    if kind == "kaggle":
        return _survey_archive(RemoteFile(partial(find_archive, name)), include_test)
    opened = open_source(source, class_names_of(classes), include_test, image_names)
    num_samples = sum(not listed.reason for listed in opened.listed())
    if opened.is_drawn:
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
    return Survey(len(parsed) or None, file.num_bytes)  # none where the images are in archives in this one


def main() -> int:
    """Surveys the source that the command line names, and gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--include-test", action="store_true")
    parser.add_argument("--classes", default="")
    parser.add_argument("--file-pattern", default=COMPETITION_NAMES.pattern)
    parser.add_argument("--filters", default=COMPETITION_NAMES.filters)
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        own = {"classes": options.classes, "file_pattern": options.file_pattern, "filters": options.filters}
        check_parameters(source=options.source, **own)
        names = ImageNames(options.file_pattern, options.filters)
        found = survey(options.source, options.include_test, options.classes, names)
    except (TransientError, NoCredentialsError) as error:
        print(error, file=sys.stderr)
        return UNKNOWN
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return WRONG
    print(json.dumps(dataclasses.asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
