"""`prepare`: converts images of any format to PNG files for a run."""

import contextlib
import logging
from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.labels import parse_channels, stains_of_source
from components.artifacts.parameters import AUTO_RANGE, check_parameters
from pipeline.commands.options import (
    Channels,
    FilePattern,
    Filters,
    FirstClass,
    GroupColumn,
    IdColumn,
    IntensityRange,
    LabelColumn,
    Labels,
    Projection,
)
from pipeline.commands.output import reported
from pipeline.local import absolute


def prepare(
    folder: Annotated[str, typer.Argument(help="The folder of the images, gs://... or s3://...")],
    out: Annotated[Path, typer.Argument(help="The folder to create.")],
    tiles: Annotated[int, typer.Option(min=0, help="Cut images into squares, this many along the shorter side.")] = 0,
    file_pattern: FilePattern = DEFAULT_PATTERN,
    channels: Channels = "rgb",
    filters: Filters = "",
    intensity_range: IntensityRange = "",
    projection: Projection = "",
    labels: Labels = "",
    id_column: IdColumn = "",
    label_column: LabelColumn = "",
    group_column: GroupColumn = "",
    first_class: FirstClass = 0,
) -> None:
    """Converts images to 8-bit PNG files, one per stain, with the names and the table that `run` expects.

    This is optional, as `run` and `predict` read the same formats. It is useful to view images in other programs, and to cut
    large or long fields into tiles. Each tile is a sample with the labels of its field; give group_column=Field to `run`, so
    that all tiles of a field stay in one split.

    Example: python -m pipeline prepare my_scans my_images --file-pattern "{id}.ome.tif" --filters red=2,green=1,blue=0
    """
    with reported("Stopped. Nothing was written."):
        from components import storage
        from components.images.decode import Reading
        from components.ingest.sources.classes_csv import class_names_of
        from components.ingest.sources.label_table import LABELS, LabelTable
        from components.ingest.sources.open_source import open_source
        from components.preview import prepare as preparing
        from components.runtime.progress import log_lines

        folder, out = absolute(folder), out.resolve()
        source = f"dir:{folder}"
        check_parameters(
            source=source,
            file_pattern=file_pattern,
            channels=channels,
            filters=filters,
            intensity_range=intensity_range,
            projection=projection,
            labels=labels,
            id_column=id_column,
            label_column=label_column,
            group_column=group_column,
            first_class=first_class,
        )
        if intensity_range == AUTO_RANGE:
            raise ValueError(
                "intensity_range=auto needs a training split, which does not exist yet. `python -m pipeline preview` with "
                "--intensity-range auto proposes a range to give here"
            )
        stains = parse_channels(channels)
        image_names = ImageNames(file_pattern, filters, stains_of_source(stains))
        reading = Reading(tuple(image_names.channels.items()), intensity_range, projection, stains, is_reduced=not tiles)
        has_labels = bool(labels) or storage.exists(storage.join(folder, LABELS))
        class_names: list[str] = []
        with log_lines("%(message)s", logging.INFO), contextlib.ExitStack() as opened:
            if has_labels:
                class_names = class_names_of("", source, first_class)
                table = LabelTable(labels, id_column, label_column, group_column, first_class)
                labelled = opened.enter_context(open_source(source, class_names, image_names=image_names, table=table))
                originals = preparing.labelled(labelled, class_names)
            else:
                originals = preparing.unlabelled(folder, image_names)
            done = preparing.prepare(originals, out, reading, tiles, class_names)
    lines = [f"{done.num_samples} samples are in {out}" + (", with their labels." if has_labels else ", without labels.")]
    if done.num_blank:
        lines.append(f"Left out: {done.num_blank} tiles in which a stain shows nothing.")
    if done.bad:
        lines.append(f"Left out: {len(done.bad)} images; the reasons are in {out / 'bad.csv'}.")
    print("\n".join(lines))
