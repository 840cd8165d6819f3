"""`export`: writes a served model as a file for other programs."""

from enum import StrEnum
from typing import Annotated

import typer

from pipeline.commands.output import reported
from pipeline.local import absolute


class Format(StrEnum):
    """The format of the file."""

    ONNX = "onnx"
    KERAS = "keras"
    BIOIMAGEIO = "bioimageio"


def export(
    model: Annotated[
        str, typer.Option(help="A version's folder (or gs://..., s3://...), or <serving_root>/<model_name>: its champion.")
    ],
    file_format: Annotated[Format, typer.Option("--format", help="onnx, keras, or bioimageio: a package for bioimage.io.")],
    out: Annotated[
        str, typer.Option(help="The file to write, which ends in .onnx, .keras or .zip: a path, gs://... or s3://...")
    ],
    author: Annotated[
        list[str] | None,
        typer.Option(help="For bioimageio: an author of the model; may be repeated.", show_default=False),
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", help="For bioimageio: the SPDX id of the model's licence, such as CC-BY-4.0.")
    ] = "",
) -> None:
    """Writes a served model as a file for other programs, and checks that its probabilities are the same.

    The file takes float32 grey levels from 0 to 255 and returns the probability of each class, with the served model's
    test-time augmentation. The written file is checked: probabilities that differ by more than 1e-4 are an error.

    Example: python -m pipeline export --model outputs/serving/hpa --format onnx --out hpa.onnx
    """
    with reported("Stopped. Nothing was written."):
        from components.export.exporting import export
        from components.runtime.progress import command_log

        with command_log("export"):
            exported = export(absolute(model), file_format, absolute(out), author or [], licence)
    print(f"Wrote {out}. On {exported.num_images} images, its outputs differ by at most {exported.difference:.1g}.")
