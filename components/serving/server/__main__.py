"""Command of the server's image: `python -m components.serving.server --model gs://bucket/models/hpa`.

It takes the options of `python -m pipeline serve`, which needs packages that the image does not have, and listens on all
addresses by default.
"""

import argparse
import logging
import signal
import sys

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from components.runtime.progress import log_lines
from components.serving.server.limits import Limits
from components.serving.server.runner import ReadingOptions
from components.serving.server.serve import serve


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m components.serving.server", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="a version's folder, or <serving_root>/<model_name>: its champion")
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--file-pattern", default=DEFAULT_PATTERN, help="how the images are named")
    parser.add_argument("--filters", default="", help="the names of the stains in file names")
    parser.add_argument("--intensity-range", default="", help="the grey levels that become black and white, as LOW:HIGH")
    parser.add_argument("--projection", default="", help="how a stack becomes one plane: max, mean, sum or middle")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="what to compute in")
    parser.add_argument("--max-upload-mib", type=int, default=Limits.max_upload_bytes >> 20, help="the largest request")
    parser.add_argument("--max-waiting", type=int, default=Limits.max_waiting, help="how many samples may wait")
    parser.add_argument("--timeout-s", type=float, default=Limits.timeout_s, help="how long an answer may take, in seconds")
    return parser


def main() -> None:
    """Serves until SIGTERM."""
    # Process 1 of a container ignores signals without a handler. The server replaces this handler while it runs, and raises the
    # signal again once it has answered all requests.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    given = make_parser().parse_args()
    with log_lines("serve | %(message)s", logging.INFO):
        try:
            check_parameters(file_pattern=given.file_pattern, projection=given.projection)
            options = ReadingOptions(ImageNames(given.file_pattern, given.filters), given.intensity_range, given.projection)
            limits = Limits.of_upload(given.max_upload_mib, given.max_waiting, given.timeout_s)
            serve(given.model, options, limits, given.host, given.port, given.precision or "")
        except (OSError, ValueError) as error:
            sys.exit(f"serve | {error}")


if __name__ == "__main__":
    main()
