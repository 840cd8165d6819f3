"""The content of all export formats: a network, its description, and images to check the files with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import keras
import numpy as np

from components.artifacts.manifest import TrainedModel
from components.export.network import build_network
from components.images.decode import sample_pixels
from components.reports.model_card import card_rows
from components.serving.model import ServedModel
from components.synthetic.samples import render_sample

_NUM_SYNTHETIC = 3


@dataclass(frozen=True)
class ExportedModel:
    """A served model in plain Keras.

    Attributes:
        name: The name of the model and its version, such as `hpa 3`.
        trained: The version's manifest.
        thresholds: float32, shape (classes,): a class is predicted at or above its threshold.
        network: See `network.build_network`.
        pixels: uint8, shape (images, height, width, channels): synthetic cells, and noise last.
        probabilities: float32, shape (images, classes): the served model's, for these images.
        authors: The authors of the model, for `bioimageio`.
        licence: The SPDX id of the model's licence, likewise.
    """

    name: str
    trained: TrainedModel
    thresholds: np.ndarray
    network: keras.Model
    pixels: np.ndarray
    probabilities: np.ndarray
    authors: Sequence[str] = ()
    licence: str = ""

    @classmethod
    def read(cls, served: ServedModel, authors: Sequence[str], licence: str) -> Self:
        """Builds the network of a served version, and classifies the images with the version itself.

        Raises:
            ValueError: See `network.build_network`.
        """
        pixels = _check_pixels(served.trained)
        probabilities = served.classify(pixels).probabilities
        name = " ".join(served.uri.rstrip("/").split("/")[-2:])
        network = build_network(served)
        return cls(name, served.trained, served.thresholds, network, pixels, probabilities, authors, licence)

    def card(self) -> str:
        """The model card, in Markdown."""
        side, channels = self.trained.image_size_px, self.trained.channels
        classes = zip(self.trained.class_names, self.thresholds, strict=True)
        return "\n".join(
            [
                f"# {self.name}",
                *_table(["About", "Value"], card_rows(self.trained)),
                "## Input and output",
                "",
                f"Input: grey levels from 0 to 255 as float32, of shape (batch, {side}, {side}, {len(channels)}): y, x and the "
                f"channels {', '.join(channels)}. In training, the middle square of each image was averaged to this size.",
                "",
                f"Output: the probability of each class as float32, of shape (batch, {len(self.thresholds)}). An image may "
                "show several classes, or none.",
                "",
                "## Classes",
                "",
                "A class is predicted at or above its threshold.",
                *_table(["Class", "Threshold"], ([name, f"{threshold:.4g}"] for name, threshold in classes)),
                "## Validation",
                "",
                "The metrics above were measured on the validation split, which also chose the epoch: they may be lower on new "
                "images. Before you rely on the model, compare its decisions with labels of your own images, for each class "
                "and beside a trivial classifier.",
                "",
            ]
        )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table between empty lines."""
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in (header, ["---"] * len(header), *rows))
    return ["", *(f"| {' | '.join(row)} |" for row in escaped), ""]


def _check_pixels(trained: TrainedModel) -> np.ndarray:
    """Synthetic cells, with their stains in order for a model of other stains, and noise."""
    images = []
    for number in range(_NUM_SYNTHETIC):
        pngs = list(render_sample(0, number).pngs.values())
        files = {channel: pngs[position % len(pngs)] for position, channel in enumerate(trained.channels)}
        images.append(sample_pixels(files, trained.channels, trained.image_size_px))
    noise = np.random.default_rng(0).integers(0, 256, images[0].shape, np.uint8)
    return np.stack([*images, noise])
