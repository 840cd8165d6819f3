"""Reads and decodes images in separate processes, ahead of the model: decoding a PNG holds the GIL.

Files are decoded exactly as convert does it, and rejected for the same reasons.
"""

import contextlib
import itertools
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import joblib  # type: ignore[import-untyped]
import numpy as np

from components.artifacts.image_names import ImageNames
from components.artifacts.index import read_each_once
from components.artifacts.manifest import TrainedModel
from components.artifacts.parameters import AUTO_RANGE, check_parameters
from components.images.decode import DEFAULT_READING, Reading, decode_sample, stack_filters
from components.images.image import BadImageError
from components.images.image_files import read_image_file
from components.images.intensity import bin_histograms, channel_histograms
from components.images.pixel_size import other_sizes
from components.images.tiff import MAX_TIFF_SIDE_PX
from components.runtime.progress import exit_with_parent
from components.serving.predict.folder import ImageFiles
from components.storage.read_ahead import read_ahead, start_readers

_BATCH_SIZE = 32
# Large images come in smaller batches, so that memory stays within bounds.
_BATCH_BYTES = 16 << 20
# Four of the largest 16-bit planes without compression. Larger samples are refused before they are read.
_MAX_SAMPLE_BYTES = 8 * MAX_TIFF_SIDE_PX**2
# How many batches wait for the model, beside those that are being decoded.
_WAITING_BATCHES = 2


@dataclass(frozen=True)
class Decoded:
    """A decoded sample.

    Attributes:
        pixels: uint8, shape (side, side, channels).
        pixel_size_um: The width of a pixel in the files in micrometres; None if they do not give it.
        width_um: The width of what `pixels` shows in micrometres; None if it is unknown.
        histograms: The counts of grey levels on every eighth row, in bins of four levels: uint32, shape (channels, 64).
    """

    pixels: np.ndarray
    pixel_size_um: float | None
    width_um: float | None
    histograms: np.ndarray


@dataclass(frozen=True)
class ImageForm:
    """A model's input: its filters, in order, the side of the square images, and how files become 8-bit channels."""

    filters: tuple[str, ...]
    image_size_px: int
    reading: Reading = DEFAULT_READING

    @classmethod
    def of_model(cls, trained: TrainedModel, image_names: ImageNames, intensity_range: str, projection: str) -> "ImageForm":
        """The form of a model.

        Args:
            trained: The model's manifest.
            image_names: How the images are named.
            intensity_range: The grey levels that become 0 and 255; empty: as the model was trained.
            projection: How a stack becomes one plane; empty: as the model was trained.

        Raises:
            ValueError: If `intensity_range` is `auto`, or does not have one range for each of the model's channels.
        """
        check_parameters(channels=",".join(trained.channels), intensity_range=intensity_range)
        if intensity_range == AUTO_RANGE:
            raise ValueError("intensity_range=auto is for training: predictions take the range that the model was trained with")
        channels = tuple(trained.channels)
        reading = Reading(
            tuple(image_names.channels.items()),
            intensity_range or trained.intensity_range,
            projection or trained.projection,
            channels,
        )
        return cls(channels, trained.image_size_px, reading)

    @property
    def batch_size(self) -> int:
        """How many samples the model is given at once."""
        return max(1, min(_BATCH_SIZE, _BATCH_BYTES // (self.image_size_px**2 * len(self.filters))))

    def decode(self, files: Mapping[str, bytes]) -> Decoded:
        """Decodes, checks and resizes a sample.

        Args:
            files: The image file of each filter: the same one for all if it holds all channels.

        Raises:
            BadImageError: If the sample cannot be used.
        """
        decoded = decode_sample(files, self.filters, self.reading)
        pixels = stack_filters(decoded.planes, self.image_size_px)
        return Decoded(pixels, decoded.pixel_size_um, decoded.width_um, bin_histograms(channel_histograms(pixels)))


@dataclass(frozen=True)
class Batch:
    """Decoded samples.

    Attributes:
        ids: The samples.
        pixels: uint8, shape (samples, height, width, channels); zeros for unusable samples, so that all batches have the
            same shape: on a GPU, each new shape has a one-time cost.
        reasons: Why each sample cannot be used; empty for those that can.
        pixel_sizes_um: The width of a pixel in each sample's files in micrometres; None if they do not give it.
        widths_um: The width of each image in micrometres; None if it is unknown.
        histograms: The histograms of each usable sample, as in `Decoded`.
    """

    ids: list[str]
    pixels: np.ndarray
    reasons: list[str]
    pixel_sizes_um: list[float | None]
    widths_um: list[float | None]
    histograms: dict[str, np.ndarray]

    def other_sizes_um(self, usual_um: float | None) -> dict[str, float]:
        """The samples whose pixel size differs from training, with their size; none if the usual size is unknown."""
        return other_sizes(dict(zip(self.ids, self.pixel_sizes_um, strict=True)), usual_um)


class Decoders:
    """Processes that decode images; they are reused between calls.

    Attributes:
        form: What the model takes.
    """

    def __init__(self, images_uri: str, form: ImageForm, num_processes: int) -> None:
        self.form = form
        self._num_ahead = num_processes + _WAITING_BATCHES
        # Not forked: TensorFlow's threads are not copied with the process.
        self._pool = ProcessPoolExecutor(num_processes, get_context("spawn"), _start, (os.getpid(), images_uri, form))

    def batches(self, samples: Sequence[ImageFiles]) -> Iterator[Batch]:
        """Starts decoding, and yields the batches in order. Few are in memory at any time.

        Raises:
            OSError: If the images cannot be read for a reason other than the file itself.
            BrokenProcessPool: If a process was killed, as when memory runs out.
        """
        size = self.form.batch_size
        chunks = iter([samples[start : start + size] for start in range(0, len(samples), size)])
        first = itertools.islice(chunks, self._num_ahead)
        return _in_order(self._pool, deque(self._pool.submit(_decode, chunk) for chunk in first), chunks)

    def close(self) -> None:
        """Ends the processes. Batches that are not decoded yet are dropped."""
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def decoded_batches(samples: Sequence[ImageFiles], images_uri: str, form: ImageForm) -> Iterator[Iterator[Batch]]:
    """Starts decoding, and gives the batches in order, as `Decoders` does.

    Args:
        samples: The samples.
        images_uri: The folder of their images.
        form: What the model takes.
    """
    num_processes = max(1, min(joblib.cpu_count(), -(-len(samples) // form.batch_size)))
    with contextlib.closing(Decoders(images_uri, form, num_processes)) as decoders:
        yield decoders.batches(samples)


def _in_order(
    pool: ProcessPoolExecutor, in_flight: deque[Future[Batch]], chunks: Iterator[Sequence[ImageFiles]]
) -> Iterator[Batch]:
    while in_flight:
        batch = in_flight.popleft().result()
        in_flight.extend(pool.submit(_decode, chunk) for chunk in itertools.islice(chunks, 1))
        yield batch


# The state of a decoding process.
_form: ImageForm
_readers: ThreadPoolExecutor


def _start(parent: int, images_uri: str, form: ImageForm) -> None:
    global _form, _readers
    exit_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process decides when to stop
    _form, _readers = form, start_readers(images_uri)


def _decode(samples: Sequence[ImageFiles]) -> Batch:
    side = _form.image_size_px
    pixels = np.zeros((len(samples), side, side, len(_form.filters)), np.uint8)
    reasons = [""] * len(samples)
    pixel_sizes_um: list[float | None] = [None] * len(samples)
    widths_um = pixel_sizes_um.copy()
    histograms: dict[str, np.ndarray] = {}
    for position, (sample, files) in enumerate(read_ahead(_readers, samples, _read, lambda sample: sample.num_bytes)):
        try:
            if isinstance(files, BadImageError):
                raise files
            decoded = _form.decode(files)
            pixels[position] = decoded.pixels
            pixel_sizes_um[position], widths_um[position] = decoded.pixel_size_um, decoded.width_um
            histograms[sample.sample_id] = decoded.histograms
        except BadImageError as error:
            reasons[position] = str(error)
    return Batch([sample.sample_id for sample in samples], pixels, reasons, pixel_sizes_um, widths_um, histograms)


def _read(sample: ImageFiles) -> dict[str, bytes] | BadImageError:
    if sample.problem:
        return BadImageError(sample.problem)
    if sample.num_bytes > _MAX_SAMPLE_BYTES:
        return BadImageError(f"{sample.num_bytes >> 20} MB of images: expected at most {_MAX_SAMPLE_BYTES >> 20} MB a sample")
    try:
        return read_each_once(sample.uris, read_image_file)
    except (FileNotFoundError, PermissionError) as error:
        return BadImageError(f"an image cannot be read: {error}")
