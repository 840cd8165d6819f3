"""The command `python -m pipeline predict`."""

import argparse
import os
from concurrent.futures.process import BrokenProcessPool

from components.artifacts.image_names import DEFAULT_PATTERN, ImageNames
from components.artifacts.parameters import check_parameters
from components.runtime.progress import step_log
from components.serving.predict.prediction import predict


def main() -> None:
    """Does what the command line asks for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported
    parser = argparse.ArgumentParser(prog="python -m components.serving.predict")
    parser.add_argument("model_uri")
    parser.add_argument("images_uri")
    parser.add_argument("out_uri")
    parser.add_argument("--file-pattern", default=DEFAULT_PATTERN)
    parser.add_argument("--filters", default="")
    options = parser.parse_args()
    try:
        with step_log("predict"):
            check_parameters(file_pattern=options.file_pattern, filters=options.filters)
            image_names = ImageNames(options.file_pattern, options.filters)
            predict(options.model_uri, options.images_uri, options.out_uri, image_names)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    except BrokenProcessPool:
        parser.exit(1, "A process that decodes images was killed, most likely because memory ran out. Nothing was written.\n")
    except KeyboardInterrupt:
        parser.exit(130, "Stopped. Nothing was written.\n")


if __name__ == "__main__":
    main()
