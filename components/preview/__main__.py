"""A look at a source before anything is run on it: the command `python -m pipeline preview`."""

import argparse
import sys
from pathlib import Path

from components import storage
from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from components.ingest.sources.classes_csv import class_names_of
from components.ingest.sources.open_source import open_source
from components.preview.preview import preview


def main() -> None:
    """Writes the sheet that the command line asks for, and says what a run would leave out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--by-class", action="store_true")
    parser.add_argument("--classes", default="")
    parser.add_argument("--file-pattern", default=DEFAULT_PATTERN)
    parser.add_argument("--filters", default="")
    options = parser.parse_args()
    try:
        names = {"file_pattern": options.file_pattern, "filters": options.filters}
        check_parameters(source=options.source, classes=options.classes, **names)
        class_names = class_names_of(options.classes)
        image_names = ImageNames(options.file_pattern, options.filters)
        source = open_source(options.source, class_names, image_names=image_names)
        found = preview(source, class_names, options.by_class)
        options.out.unlink(missing_ok=True)
        storage.write_bytes(str(options.out), found.page)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    sys.stdout.write("\n".join([f"{options.out} is written.", *found.findings, ""]))


if __name__ == "__main__":
    main()
