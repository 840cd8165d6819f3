"""`serve`: a web server that predicts with a served model."""

from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from pipeline.commands.options import FilePattern, Filters, IntensityRange, Precision, Projection
from pipeline.commands.output import reported
from pipeline.local import absolute


def serve(
    model: Annotated[
        str, typer.Option(help="A version's folder (or gs://..., s3://...), or <serving_root>/<model_name>: its champion.")
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free one.")] = 8080,
    file_pattern: FilePattern = DEFAULT_PATTERN,
    filters: Filters = "",
    intensity_range: IntensityRange = "",
    projection: Projection = "",
    precision: Precision = None,
    max_upload_mib: Annotated[int, typer.Option(min=1, help="The largest request, in MiB.")] = 256,
    max_waiting: Annotated[int, typer.Option(min=1, help="How many samples may wait; also the most in one request.")] = 256,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long an answer may take, in seconds.")] = 60,
) -> None:
    """Serves a page and an API that predict with a model, and follows the champion.

    By default, it accepts image files with names such as <Id>_red.tif, or with all channels under the names of the
    model's stains; use --file-pattern for others.

    The API is described at /openapi.json, and the Open Inference Protocol is at /v2. There is no authentication and no
    encryption: put a proxy with both in front before you listen on other addresses.

    Example: python -m pipeline serve --model outputs/serving/hpa
    """
    with reported():
        check_parameters(file_pattern=file_pattern, projection=projection)
        import logging

        from components.runtime.progress import log_lines
        from components.serving.server.limits import Limits
        from components.serving.server.runner import ReadingOptions
        from components.serving.server.serve import serve

        options = ReadingOptions(ImageNames(file_pattern, filters), intensity_range, projection)
        limits = Limits.of_upload(max_upload_mib, max_waiting, timeout_s)
        with log_lines("serve | %(message)s", logging.INFO):
            serve(absolute(model), options, limits, host, port, precision or "")
