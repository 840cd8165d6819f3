"""Decodes uploaded files in processes of their own: decoding holds Python's lock, and a file may bring a decoder down."""

import asyncio
import os
import signal
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context

import joblib  # type: ignore[import-untyped]
import numpy as np

from components.images.decode import sample_pixels
from components.images.image import BadImageError
from components.runtime.progress import exit_with_parent
from components.serving.predict.decoding import ImageForm
from components.serving.server.limits import RefusedError


class Decoder:
    """A pool of processes, which is replaced if one of them is killed."""

    def __init__(self) -> None:
        self._pool = _new_pool()

    async def decode(self, files: Mapping[str, bytes], form: ImageForm) -> np.ndarray:
        """Decodes a sample as `predict` does.

        Args:
            files: The image file of each filter: the same for all where one file holds all channels.
            form: What the model takes.

        Returns:
            uint8, shape (side, side, channels).

        Raises:
            BadImageError: If the sample cannot be used.
            RefusedError: With status 503 if a process was killed.
        """
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _decode, dict(files), form)
        except BrokenExecutor:
            if pool is self._pool:
                self._pool = _new_pool()
            raise RefusedError(503, "A process that decodes images was killed: memory may have run out. Try again") from None

    def stop(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(cancel_futures=True)


def _new_pool() -> ProcessPoolExecutor:
    # A copy of this process would not do: TensorFlow's threads are not copied with it.
    return ProcessPoolExecutor(joblib.cpu_count(), get_context("spawn"), _start, (os.getpid(),))


def _start(parent: int) -> None:
    exit_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process above says when to stop


def _decode(files: Mapping[str, bytes], form: ImageForm) -> np.ndarray:
    try:
        return sample_pixels(files, form.filters, form.image_size_px, form.reading)
    except BadImageError as error:
        raise BadImageError(str(error)) from None
