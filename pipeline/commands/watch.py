"""`watch`: applies a served model to images as a microscope writes them."""

import logging
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from pipeline.commands.options import FilePattern, Filters, IntensityRange, Precision, Projection
from pipeline.commands.output import fail, reported
from pipeline.local import absolute


class From(StrEnum):
    """Which fields to predict."""

    NOW = "now"
    START = "start"


def watch(
    folder: Annotated[Path, typer.Argument(help="The folder that images are written to.")],
    model: Annotated[
        str,
        typer.Option(help="<serving_root>/<model_name> to follow its champion; or a version's folder, gs://... or s3://..."),
    ],
    out: Annotated[Path, typer.Option(help="The CSV file to append to. The other files are beside it.")] = Path(
        "predictions.csv"
    ),
    file_pattern: FilePattern = DEFAULT_PATTERN,
    filters: Filters = "",
    intensity_range: IntensityRange = "",
    projection: Projection = "",
    precision: Precision = None,
    settle: Annotated[float, typer.Option(min=0, help="Seconds without a change after which a file is complete.")] = 2.0,
    give_up: Annotated[
        float, typer.Option(min=0, help="Seconds without a change before an unusable field is reported.")
    ] = 300.0,
    start_from: Annotated[
        From, typer.Option("--from", help="start: every field; now: skip those complete at the first start.")
    ] = From.START,
    when: Annotated[
        str, typer.Option(help='The condition to act on, such as "Mitotic spindle > 0.8"; by default always.')
    ] = "",
    run: Annotated[str, typer.Option(help="A command, run without a shell, that gets the answer as JSON.")] = "",
    post: Annotated[str, typer.Option(help="A URL that gets the answer as JSON.")] = "",
    once: Annotated[bool, typer.Option("--once", help="End when every field has an answer.")] = False,
    until_idle: Annotated[
        float | None,
        typer.Option(min=0, help="End after this many seconds without anything to do.", show_default=False),
    ] = None,
) -> None:
    """Classifies images as they are acquired: exactly one row per field, despite interruptions.

    After an interruption, the same command continues. The command of --run and the URL of --post get each answer at least once,
    before its row is written. Ctrl-C and SIGTERM end it after the current batch.

    Example: python -m pipeline watch my_images --model outputs/serving/hpa --when "Mitotic spindle > 0.8" --run ./revisit.py
    """
    with reported("Stopped at once. Run the same command to continue."):
        check_parameters(file_pattern=file_pattern, projection=projection)
        from components.runtime.full_disk import full_disk_explained
        from components.runtime.progress import log_lines
        from components.serving.watch.action import Action
        from components.serving.watch.watching import Watch, watch

        task = Watch(
            folder=absolute(str(folder)),
            model_uri=absolute(model),
            out=out.absolute(),
            image_names=ImageNames(file_pattern, filters),
            intensity_range=intensity_range,
            projection=projection,
            settle_s=settle,
            give_up_s=give_up,
            skips_existing=start_from is From.NOW,
            idle_s=0.0 if once else until_idle,
            action=Action.parse(when, run, post),
            precision=precision or "",
        )
        with log_lines("watch | %(message)s", level=logging.INFO), full_disk_explained():
            try:
                watch(task)
            except BrokenProcessPool:
                fail("A decoding process was killed, most likely because memory ran out. Run the same command to continue.")
