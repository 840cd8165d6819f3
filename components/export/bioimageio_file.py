"""A package for bioimage.io (format 0.5): ONNX weights with their description, test tensors, the model card and a cover."""

import re
from pathlib import Path

import numpy as np
from bioimageio.core import predict, test_model
from bioimageio.spec import save_bioimageio_package
from bioimageio.spec.model import v0_5
from PIL import Image

from components.export import onnx_file
from components.export.model import ExportedModel
from components.reports.model_card import INTENDED_USE
from components.reports.stains import composite, stain_colours
from components.runtime.scratch import scratch_folder

SUFFIX = ".zip"
_INPUT, _OUTPUT = "pixels", "probabilities"
_CITED = "Ouyang et al., Analysis of the Human Protein Atlas Image Classification competition, Nature Methods 2019"
_CITED_DOI = "10.1038/s41592-019-0658-6"
# Tags of https://bioimage.io.
_TAGS = ("2d", "fluorescence-light-microscopy", "cells", "image-classification", "multi-label", "tensorflow")


def check_licence(licence: str) -> None:
    """Refuses a licence that is not an SPDX id.

    Raises:
        ValueError: If it is not.
    """
    try:
        v0_5.LicenseId(licence)
    except ValueError:
        raise ValueError(
            f"--license: expected an id of https://spdx.org/licenses, such as CC-BY-4.0. Received: {licence}"
        ) from None


def write(model: ExportedModel, path: Path) -> None:
    """Writes the package."""
    trained = model.trained
    with scratch_folder() as folder:
        onnx_file.write(model, folder / "model.onnx")
        np.save(folder / "pixels.npy", model.pixels.astype(np.float32))
        np.save(folder / "probabilities.npy", model.probabilities)
        (folder / "README.md").write_text(model.card(), encoding="utf-8")
        Image.fromarray(composite(model.pixels[0], stain_colours(trained.channels))).save(folder / "cover.png")
        side_px = trained.image_size_px
        description = v0_5.ModelDescr(
            name=re.sub("[^A-Za-z0-9_+() -]", "-", f"Protein localisation ({model.name})"),
            description=INTENDED_USE,
            documentation=v0_5.FileDescr(source=folder / "README.md"),
            covers=[v0_5.FileDescr(source=folder / "cover.png")],
            authors=[v0_5.Author(name=author) for author in model.authors],
            license=v0_5.LicenseId(model.licence),
            cite=[v0_5.CiteEntry(text=_CITED, doi=v0_5.Doi(_CITED_DOI))],
            tags=_TAGS,
            inputs=[
                v0_5.InputTensorDescr(
                    id=v0_5.TensorId(_INPUT),
                    description="Grey levels from 0 to 255",
                    axes=[
                        v0_5.BatchAxis(),
                        v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=side_px),
                        v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=side_px),
                        v0_5.ChannelAxis(channel_names=trained.channels),
                    ],
                    data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0, 255)),
                    test_tensor=v0_5.FileDescr(source=folder / "pixels.npy"),
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id=v0_5.TensorId(_OUTPUT),
                    description="The probability of each class",
                    axes=[
                        v0_5.BatchAxis(),
                        v0_5.ChannelAxis(channel_names=trained.class_names),
                    ],
                    data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
                    test_tensor=v0_5.FileDescr(source=folder / "probabilities.npy"),
                )
            ],
            weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=folder / "model.onnx", opset_version=onnx_file.OPSET)),
        )
        save_bioimageio_package(description, output_path=path)


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Runs the package's own test, then classifies images: see `keras_file.run`.

    Raises:
        ValueError: If the package fails the test.
    """
    summary = test_model(path)
    if summary.status != "passed":
        raise ValueError(f"The package fails bioimageio's test: {summary.format()}")
    sample = predict(model=path, inputs={_INPUT: pixels})
    return np.asarray(sample.members[_OUTPUT].data.data)
