"""Exports a served model to a file for other programs, and checks the file by running it."""

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components import storage
from components.export.model import ExportedModel
from components.runtime.scratch import scratch_folder
from components.serving.model import find_version, load_model, read_manifest

# The largest difference of a file's probabilities from the served model's.
TOLERANCE = 1e-4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        num_images: How many images it was checked with.
        difference: The largest difference of its probabilities from the served model's.
    """

    num_images: int
    difference: float


def export(model_uri: str, file_format: str, out_uri: str, authors: Sequence[str] = (), licence: str = "") -> Exported:
    """Exports a served model.

    Args:
        model_uri: A version, or the folder above the versions for the champion.
        file_format: `onnx`, `keras` or `bioimageio`.
        out_uri: The file to write, with the suffix of its format.
        authors: The authors of the model: required for `bioimageio`, not allowed for other formats.
        licence: The SPDX id of the model's licence: likewise.

    Raises:
        FileExistsError: If the file already exists.
        FileNotFoundError: If there is no such model.
        ModuleNotFoundError: If a package for the format is not installed.
        ValueError: If the arguments do not fit the format, the network is unknown, or the file's probabilities differ.
    """
    if file_format == "bioimageio" and not (authors and licence):
        raise ValueError(
            "--format bioimageio: expected --author at least once, and --license with an SPDX id such as CC-BY-4.0"
        )
    if file_format != "bioimageio" and (authors or licence):
        raise ValueError(f"--author and --license are for --format bioimageio. Received: --format {file_format}")
    file = importlib.import_module(f"components.export.{file_format}_file")
    if licence:
        file.check_licence(licence)
    if not out_uri.endswith(file.SUFFIX):
        raise ValueError(f"--out: expected a name that ends in {file.SUFFIX}. Received: {out_uri}")
    if storage.exists(out_uri):
        raise FileExistsError(f"{out_uri} already exists: delete it, or give another --out")
    version_uri = find_version(model_uri)
    trained = read_manifest(version_uri)
    with scratch_folder() as folder:
        model = ExportedModel.read(load_model(version_uri, trained, 1, folder / "version", "float32"), authors, licence)
        path = folder / f"model{file.SUFFIX}"
        _log.info("writing %s", file_format)
        file.write(model, path)
        found = file.run(path, model.pixels.astype(np.float32))
        difference = float(np.abs(found - model.probabilities).max())
        if not difference <= TOLERANCE:
            raise ValueError(
                f"The file's probabilities differ from the served model's by {difference:.1g}: expected at most {TOLERANCE:g}"
            )
        storage.store(path, out_uri)
    return Exported(len(model.pixels), difference)
