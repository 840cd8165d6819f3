"""`preview`: draws a contact sheet of a source before a run."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.labels import parse_channels, stains_of_source
from components.artifacts.parameters import check_parameters
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
from pipeline.local import default_locations
from pipeline.named_files import refuse_folder


def preview(
    source: Annotated[str, typer.Argument(help="The pipeline's source, such as dir:<folder> or synthetic:28.")],
    out: Annotated[Path, typer.Option(help="The PNG file to write; an existing one is replaced.")] = Path("preview.png"),
    by_class: Annotated[bool, typer.Option("--by-class", help="One sample for each class, instead of the first 28.")] = False,
    classes: Annotated[
        str, typer.Option(help="The pipeline's classes; by default the folder's classes.csv, if it exists.")
    ] = "",
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
    """Draws a contact sheet of a source's samples with their labels, and lists what a run would leave out.

    Example: python -m pipeline preview synthetic:28 --by-class --out sheet.png
    """
    with reported("Stopped. Nothing was written."):
        refuse_folder(out, "--out")
        located = default_locations({"source": source, "classes": classes}, Path())
        from components import storage
        from components.ingest.sources.classes_csv import class_names_of
        from components.ingest.sources.label_table import LabelTable
        from components.ingest.sources.open_source import open_source
        from components.preview.preview import preview
        from components.runtime.progress import log_lines

        source, classes, out = located["source"], located["classes"], out.resolve()
        table = LabelTable(labels, id_column, label_column, group_column, first_class)
        check_parameters(
            source=source,
            classes=classes,
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
        with log_lines("%(message)s", logging.INFO):
            class_names = class_names_of(classes, source, first_class)
            shown = parse_channels(channels)
            names = ImageNames(file_pattern, filters, stains_of_source(shown))
            with open_source(source, class_names, image_names=names, table=table) as opened:
                found = preview(opened, class_names, by_class, shown, intensity_range, projection)
        out.unlink(missing_ok=True)
        storage.write_bytes(str(out), found.page)
    print("\n".join([f"{out} is written.", *found.findings]))
