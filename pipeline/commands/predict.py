"""`predict`: applies a served model to a folder of images."""

import re
import sys
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from pipeline.commands.options import FilePattern, Filters, IntensityRange, Precision, Projection
from pipeline.commands.output import fail, reported
from pipeline.isolated import call_isolated
from pipeline.local import absolute

# TensorFlow's log lines on a machine without a GPU, whatever TF_CPP_MIN_LOG_LEVEL is. They look like errors but are not.
_GREETING = re.compile(r"WARNING: All log messages before absl::|[IWE]\d{4} [\d:.]+ +\d+ \w*(port|cuda\w*)\.cc:\d+\]")


def predict(
    model: Annotated[
        str, typer.Option(help="A version's folder (or gs://..., s3://...), or <serving_root>/<model_name>: its champion.")
    ],
    images: Annotated[str, typer.Option(help="The folder, gs://... or s3://... with the images.")],
    out: Annotated[str, typer.Option(help="The CSV file to write: a path, gs://... or s3://...")] = "predictions.csv",
    file_pattern: FilePattern = DEFAULT_PATTERN,
    filters: Filters = "",
    intensity_range: IntensityRange = "",
    projection: Projection = "",
    precision: Precision = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write pages that show the images with their predictions: predictions.html.")
    ] = False,
) -> None:
    """Predicts the classes of a folder of images: probabilities, decisions, and Kaggle's submission format.

    Files are read as in the model's training, unless --intensity-range or --projection is given. Images that cannot be used,
    and image files whose names do not match, are skipped and listed with the reason in predictions.bad.csv. If no image can be
    used, only that file is written, and the exit status is 1.

    Example: python -m pipeline predict --model outputs/serving/hpa --images my_images
    """
    with reported("Stopped. Nothing was written."):
        check_parameters(file_pattern=file_pattern, projection=projection)
        image_names = ImageNames(file_pattern, filters)
        # In a separate process, because TensorFlow logs to standard error from C++. A filter within this process would lose the
        # last lines of a crash.
        try:
            call_isolated(
                partial(
                    _predict,
                    absolute(model),
                    absolute(images),
                    absolute(out),
                    image_names,
                    intensity_range,
                    projection,
                    html,
                    precision or "",
                ),
                on_error_line=_show_unless_greeting,
            )
        except BrokenProcessPool:
            fail("The prediction process was killed, most likely because memory ran out. Nothing was written.")


def _predict(
    model_uri: str,
    images_uri: str,
    out_uri: str,
    image_names: ImageNames,
    intensity_range: str,
    projection: str,
    html: bool,
    precision: str,
) -> None:
    from components.runtime.progress import step_log
    from components.runtime.wording import count_of
    from components.serving.predict.outputs import output_uris
    from components.serving.predict.prediction import predict

    with step_log("predict"):
        predicted = predict(model_uri, images_uri, out_uri, image_names, intensity_range, projection, html, precision)
    if not predicted.num_good:
        raise ValueError(f"No image could be used, of {count_of(predicted.num_bad, 'sample')}: see {output_uris(out_uri)[2]}")


def _show_unless_greeting(line: str) -> None:
    if not _GREETING.match(line):
        sys.stderr.write(line)
        sys.stderr.flush()
