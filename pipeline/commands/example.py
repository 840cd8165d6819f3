"""`example`: writes a folder of synthetic images to try the pipeline with."""

from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.parameters import MIN_SYNTHETIC_SAMPLES
from pipeline.commands.output import reported
from pipeline.local import absolute


def example(
    folder: Annotated[Path, typer.Argument(help="The folder to create.")],
    samples: Annotated[int, typer.Option(min=MIN_SYNTHETIC_SAMPLES, help="The number of samples.")] = 96,
) -> None:
    """Generates a small folder of synthetic images with custom classes, stains and file names, like your own data.

    docs/tutorials/own-images.md shows how to use it.

    Example: python -m pipeline example my_images
    """
    folder = Path(absolute(str(folder)))
    with reported(f"Stopped. Remove {folder} before the next try."):
        from components.runtime.progress import command_log
        from components.synthetic.example import write_example

        with command_log("example"):
            write_example(folder, samples)
    print(f"{samples} samples are in {folder}.")
