"""Runs a served model over a folder of images."""

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.manifest import TrainedModel
from components.images.exposure import exposure_warnings
from components.images.pixel_size import describe_other_sizes
from components.runtime.progress import progress_bar
from components.runtime.scratch import scratch_folder
from components.runtime.wording import count_of
from components.serving.model import find_version, load_model, read_manifest
from components.serving.predict.decoding import ImageForm, decoded_batches
from components.serving.predict.folder import find_images, with_stains
from components.serving.predict.outputs import open_outputs, output_uris
from components.serving.predict.pages import Pages, page_uri
from components.serving.unlike import describe_unlike

_log = logging.getLogger(__name__)

# Only the first samples are checked for bad exposure: a million histograms would take a gigabyte.
_MAX_HISTOGRAMS = 20_000


@dataclass(frozen=True)
class Predicted:
    """A summary of a prediction.

    Attributes:
        num_good: How many samples were predicted.
        num_bad: How many samples cannot be used.
        num_ignored: How many image files belong to no sample.
        seconds: The time from the model's first batch to its last.
    """

    num_good: int
    num_bad: int
    num_ignored: int
    seconds: float


def predict(
    model_uri: str,
    images_uri: str,
    out_uri: str,
    image_names: ImageNames = COMPETITION_NAMES,
    intensity_range: str = "",
    projection: str = "",
    with_pages: bool = False,
    precision: str = "",
) -> Predicted:
    """Predicts every sample of a folder, and writes the files that `components.serving.predict.outputs` describes.

    If no sample can be used, only the table of bad samples is written.

    Args:
        model_uri: A version, or the folder above the versions for the champion.
        images_uri: The folder of the images.
        out_uri: The predictions.
        image_names: How the images are named. The stains are the model's.
        intensity_range: The grey levels that become 0 and 255; empty: as the model was trained.
        projection: How a stack becomes one plane; empty: as the model was trained.
        with_pages: Whether to write the pages of `components.serving.predict.pages` as well.
        precision: What to compute in, `float32` or `bfloat16`; empty: what the model was judged in.

    Raises:
        FileNotFoundError: If there is no model, or there are no images.
        FileExistsError: If the predictions already exist.
        ValueError: If `image_names.filters` does not name the model's stains, or `intensity_range` does not fit them.
    """
    version_uri = find_version(model_uri)
    trained = read_manifest(version_uri)
    image_names = with_stains(image_names, trained.channels)
    form = ImageForm.of_model(trained, image_names, intensity_range, projection)
    found = find_images(images_uri, trained.channels, image_names)
    num_samples = len(found.samples)
    other_sizes_um: dict[str, float] = {}
    histograms: dict[str, np.ndarray] = {}
    if with_pages and storage.exists(page_uri(out_uri)):
        raise FileExistsError(f"{page_uri(out_uri)} already exists: delete it, or give another --out")
    with (
        open_outputs(out_uri, trained.class_names) as outputs,
        contextlib.ExitStack() as page_files,
        decoded_batches(found.samples, images_uri, form) as batches,
        scratch_folder() as folder,
    ):
        model = load_model(version_uri, trained, form.batch_size, folder, precision)
        pages = Pages(out_uri, model, page_files) if with_pages else None
        _log.info("the model is %s, %s", version_uri, model.describe_precision())
        started_s = time.monotonic()
        with progress_bar(num_samples, "samples") as progress:
            for batch in batches:
                predictions = model.classify(batch.pixels)
                outputs.write(batch, predictions, model)
                if pages:
                    pages.write(batch, predictions)
                other_sizes_um |= batch.other_sizes_um(trained.pixel_size_um)
                if len(histograms) < _MAX_HISTOGRAMS:
                    histograms |= batch.histograms
                progress.update(len(batch.ids))
        seconds = time.monotonic() - started_s
        outputs.write_ignored(found.ignored)
        if pages:
            for path, reason in found.ignored.items():
                pages.write_bad(path, reason)
            pages.finish()
    *_, bad_uri, distances_uri = output_uris(out_uri)
    if outputs.num_good:
        words = count_of(outputs.num_good, "sample")
        _log.info("%s predicted, at %.1f a second: %s", words, num_samples / seconds, out_uri)
        if pages:
            _log.info("the images with their predictions: %s", page_uri(out_uri))
    else:
        _remove_empty(out_uri, with_pages)
    if outputs.num_bad:
        words = count_of(outputs.num_bad, "sample")
        _log.warning("%s cannot be used, such as %s. The reasons are in %s", words, outputs.first_bad, bad_uri)
    if found.ignored:
        _log.warning("%s ignored: the reasons are in %s", count_of(len(found.ignored), "image file"), bad_uri)
    _warn_of_odd_images(histograms, other_sizes_um, trained)
    if outputs.unlike:
        words = describe_unlike(outputs.unlike, len(outputs.unlike), outputs.num_good)
        _log.warning("%s. All distances are in %s", words, distances_uri)
    return Predicted(outputs.num_good, outputs.num_bad, len(found.ignored), seconds)


def _warn_of_odd_images(
    histograms: Mapping[str, np.ndarray], other_sizes_um: Mapping[str, float], trained: TrainedModel
) -> None:
    for warning in exposure_warnings(histograms, trained.channels):
        _log.warning("%s", warning)
    if other_sizes_um:
        _log.warning("%s", describe_other_sizes(other_sizes_um, trained.pixel_size_um))


def _remove_empty(out_uri: str, with_pages: bool) -> None:
    """Removes the files without a prediction, because the corrected command would be refused if they existed."""
    predictions, submission, _, distances = output_uris(out_uri)
    for uri in (predictions, submission, distances, *([page_uri(out_uri)] if with_pages else [])):
        storage.remove(uri)
