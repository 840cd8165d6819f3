"""A look at a source before anything is run on it: `python -m pipeline preview`."""

import argparse
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from components.ingest.contact_sheet import contact_sheet
from components.ingest.sources.classes_csv import class_names_of
from components.ingest.sources.open_source import open_source
from components.ingest.sources.source import Listed, Source, SourceImage
from components.ingest.sources.synthetic import Synthetic
from components.ingest.synthetic.samples import class_examples
from components.shared import storage
from components.shared.image_names import DEFAULT_PATTERN, ImageNames
from components.shared.parameters import check_parameters

MAX_TILES = 28
_SHOWN_FILTERS = ("red", "green", "blue")


@dataclass(frozen=True)
class _Tile:
    labels: tuple[int, ...]
    pngs: Mapping[str, bytes]


def preview(source: Source, class_names: Sequence[str], by_class: bool) -> bytes:
    """Draws a contact sheet of a source: a PNG page.

    Args:
        source: Where the samples come from.
        class_names: The names of the classes, by index.
        by_class: One sample for each class, the one with the fewest others, instead of the first ones. Synthetic sources
            draw each class alone.

    Raises:
        ValueError: If no sample has the three filters that are shown.
    """
    if by_class and isinstance(source, Synthetic):
        return _small(contact_sheet(class_examples(source.seed), class_names))
    usable = [listed for listed in source.listed() if not listed.reason]
    images: dict[str, list[SourceImage]] = defaultdict(list)
    for image in (image for chunk in source.chunks() for image in chunk):
        images[image.sample_id].append(image)
    tiles = []
    for listed in _one_for_each_class(usable) if by_class else usable:
        shown = [image for image in images[listed.sample_id] if image.filter in _SHOWN_FILTERS]
        if len(shown) == len(_SHOWN_FILTERS):
            tiles.append(_Tile(listed.labels, {image.filter: data for image, data in source.read(shown)}))
        if len(tiles) == MAX_TILES:
            break
    if not tiles:
        raise ValueError(f"No sample has all of the filters {', '.join(_SHOWN_FILTERS)}")
    return _small(contact_sheet(tiles, class_names))


def _one_for_each_class(listed: Sequence[Listed]) -> list[Listed]:
    labels = sorted({label for sample in listed for label in sample.labels})
    return [min((s for s in listed if label in s.labels), key=lambda s: len(s.labels)) for label in labels]


def _small(page: bytes) -> bytes:
    """Half the size, for a page that stands in a README: 256 colours do for four stains."""
    with Image.open(io.BytesIO(page)) as image:
        file = io.BytesIO()
        image.quantize(256).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Writes the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--by-class", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", default="")
    parser.add_argument("--file-pattern", default=DEFAULT_PATTERN)
    parser.add_argument("--filters", default="")
    options = parser.parse_args()
    try:
        names = {"file_pattern": options.file_pattern, "filters": options.filters}
        check_parameters(source=options.source, seed=options.seed, classes=options.classes, **names)
        class_names = class_names_of(options.classes)
        image_names = ImageNames(options.file_pattern, options.filters)
        source = open_source(options.source, options.seed, class_names, image_names=image_names)
        page = preview(source, class_names, options.by_class)
        options.out.unlink(missing_ok=True)
        storage.write_bytes(str(options.out), page)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{options.out} is written.")


if __name__ == "__main__":
    main()
