"""The command `python -m pipeline predict`."""

from typing import Annotated

import typer

from components.artifacts.image_names import DEFAULT_PATTERN
from pipeline.local import absolute
from pipeline.modules import run_module

FILE_PATTERN_HELP = "How the images are named: {id} stands for the sample, {filter} for the stain, * for anything."
FILTERS_HELP = "What the files call the stains, such as red=tubulin,green=antibody,blue=DAPI."


def predict(
    model: Annotated[str, typer.Option(help="A version's folder or gs://..., or <serving_root>/<model_name>: its champion.")],
    images: Annotated[str, typer.Option(help="The folder or gs://... with the images.")],
    out: Annotated[str, typer.Option(help="The CSV file to write: a path or gs://...")] = "predictions.csv",
    file_pattern: Annotated[str, typer.Option(help=FILE_PATTERN_HELP)] = DEFAULT_PATTERN,
    filters: Annotated[str, typer.Option(help=FILTERS_HELP)] = "",
) -> None:
    """Predicts which locations a folder of images shows: probabilities, decisions, and Kaggle's submission format.

    Images that cannot be used are listed with the reason in predictions.bad.csv, and stop nothing.

    Example: python -m pipeline predict --model outputs/serving/hpa --images my_images
    """
    names = [f"--file-pattern={file_pattern}", f"--filters={filters}"]
    run_module("components.serving.predict", *map(absolute, (model, images, out)), *names)
