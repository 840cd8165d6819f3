"""Runs a model in one thread, on batches of waiting images, and follows the champion."""

import contextlib
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.runtime.scratch import scratch_folder
from components.serving.model import ServedModel, find_version, load_model, read_manifest
from components.serving.predict.decoding import ImageForm
from components.serving.predict.folder import with_stains
from components.serving.server.uploads import accepted_names

_log = logging.getLogger(__name__)

_POLL_S = 2.0
# A version that cannot be loaded is retried with exponential backoff, up to this.
_MAX_POLL_S = 300.0
# How long stopping waits for a check of the champion, whose store may not answer for minutes.
_STOP_S = 5.0


@dataclass(frozen=True)
class ReadingOptions:
    """How the server reads uploaded files.

    Attributes:
        image_names: How the files are named. The default accepts several patterns: see `accepted_names`.
        intensity_range: The grey levels that become 0 and 255; empty: as the model was trained.
        projection: How a stack becomes one plane; empty: as the model was trained.
    """

    image_names: ImageNames = COMPETITION_NAMES
    intensity_range: str = ""
    projection: str = ""


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """A version that requests can use as long as they hold it.

    Attributes:
        name: Its number.
        model: The model.
        form: What the model takes.
        accepted_names: How files may be named.
    """

    name: str
    model: ServedModel
    form: ImageForm
    accepted_names: list[ImageNames]


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        probabilities: float32, shape (classes,).
        decisions: bool, shape (classes,).
        distance: How far the image is from the training images; None from models of earlier versions.
        maps: float32, shape (map height, map width, classes); None if not requested or the model has none.
    """

    probabilities: np.ndarray
    decisions: np.ndarray
    distance: float | None
    maps: np.ndarray | None


@dataclass(frozen=True)
class _Task:
    version: LoadedVersion
    pixels: np.ndarray
    with_maps: bool
    future: "Future[Prediction]"


class ModelRunner:
    """Loads a model, runs it in a thread, and replaces it when another version becomes the champion.

    Attributes:
        current: The version for new requests. Requests keep the version that they started with.
    """

    def __init__(
        self,
        model_uri: str,
        options: ReadingOptions,
        on_batch: Callable[[int, float], None],
        precision: str = "",
    ) -> None:
        """Loads the model.

        Args:
            model_uri: A version, or the folder above the versions to follow the champion.
            options: How files are read.
            on_batch: Called with the size of each batch, and the seconds that it took.
            precision: What to compute in, `float32` or `bfloat16`; empty: what the model was judged in.

        Raises:
            FileNotFoundError: If there is no model.
            OSError: If it cannot be loaded.
            ValueError: If `options` does not fit the model's stains.
        """
        self._model_uri, self._options, self._on_batch = model_uri, options, on_batch
        self._precision = precision
        self.current = self._load(find_version(model_uri))
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        targets = [self._run] if self.current.model.uri == model_uri else [self._run, self._follow]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def submit(self, version: LoadedVersion, pixels: np.ndarray, with_maps: bool = False) -> "Future[Prediction]":
        """Queues an image.

        Args:
            version: The version to run.
            pixels: uint8, shape (height, width, channels), of the version's size and channels.
            with_maps: Whether to compute the activation maps.
        """
        task = _Task(version, pixels, with_maps, Future())
        with self._changed:
            self._waiting.append(task)
            self._changed.notify()
        return task.future

    def stop(self) -> None:
        """Ends the threads once the waiting images are answered."""
        self._stopped.set()
        with self._changed:
            self._changed.notify()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join(_STOP_S)
        self._close_newest()  # here, because a signal may end the process before it cleans up

    def _load(self, uri: str) -> LoadedVersion:
        trained, options = read_manifest(uri), self._options
        image_names = with_stains(options.image_names, trained.channels)
        form = ImageForm.of_model(trained, image_names, options.intensity_range, options.projection)
        with contextlib.ExitStack() as opened:
            folder = Path() if storage.is_local(uri) else opened.enter_context(scratch_folder())
            model = load_model(uri, trained, form.batch_size, folder, self._precision)
            keep_open = opened.pop_all()
        _log.info("the model is %s, %s", uri, model.describe_precision())
        version = LoadedVersion(model.version, model, form, accepted_names(image_names))
        self._close_newest = weakref.finalize(version, keep_open.close)
        return version

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._answer(batch)
            except Exception as error:
                _log.exception("a batch failed")
                for task in batch:
                    task.future.set_exception(error)
            del batch  # so that a replaced version is freed

    def _next_batch(self) -> list[_Task]:
        """The next tasks of one version, up to the batch size; empty at the end."""
        batch: list[_Task] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
                if not self._waiting:
                    break
                version = self._waiting[0].version
                while self._waiting and self._waiting[0].version is version and len(batch) < version.form.batch_size:
                    task = self._waiting.popleft()
                    if task.future.set_running_or_notify_cancel():
                        batch.append(task)
        return batch

    def _answer(self, batch: list[_Task]) -> None:
        started_s = time.monotonic()
        model = batch[0].version.model
        predictions = model.classify(_padded([task.pixels for task in batch]))
        with_maps = [task for task in batch if task.with_maps]
        maps = model.activation_maps(_padded([task.pixels for task in with_maps])) if with_maps else None
        maps_of = dict(zip(map(id, with_maps), maps, strict=False)) if maps is not None else {}
        self._on_batch(len(batch), time.monotonic() - started_s)
        for number, task in enumerate(batch):
            answer = predictions.probabilities[number], predictions.decisions[number], predictions.distance(number)
            task.future.set_result(Prediction(*answer, maps_of.get(id(task))))

    def _follow(self) -> None:
        wait_s = _POLL_S
        while not self._stopped.wait(wait_s):
            try:
                uri = find_version(self._model_uri)
                if uri != self.current.model.uri:
                    self.current = self._load(uri)
                wait_s = _POLL_S
            except Exception:
                wait_s = min(2 * wait_s, _MAX_POLL_S)
                _log.exception("version %s stays in use: the champion cannot be loaded", self.current.name)


def _padded(images: list[np.ndarray]) -> np.ndarray:
    """Stacks images, with zeros up to a power of two: on a GPU, each new batch size has a one-time cost."""
    pixels = np.zeros((1 << (len(images) - 1).bit_length(), *images[0].shape), np.uint8)
    pixels[: len(images)] = images
    return pixels
