"""Decodes uploaded files in separate processes: decoding holds the GIL, and a file may crash a decoder."""

import asyncio
import os
import signal
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import joblib  # type: ignore[import-untyped]
from pebble import ProcessExpired, ProcessPool

from components.images.image import BadImageError
from components.runtime.progress import exit_with_parent
from components.serving.predict.decoding import Decoded, ImageForm


class Decoders:
    """Processes that decode. One that dies or takes too long is replaced; only its own sample fails."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool = _new_pool()

    async def decode(self, files: Mapping[str, bytes], form: ImageForm) -> Decoded:
        """Decodes a sample as `predict` does. Cancelling the call stops the work.

        Args:
            files: The image file of each filter: the same one for all if it holds all channels.
            form: What the model takes.

        Raises:
            BadImageError: If the sample cannot be used, takes too long to decode or crashes the decoder.
        """
        if not self._pool.active:  # an idle process was killed
            self._pool = _new_pool()
        try:
            return await asyncio.wrap_future(self._pool.schedule(_decode, args=[dict(files), form], timeout=self._timeout_s))
        except TimeoutError:
            raise BadImageError(f"decoding takes longer than {self._timeout_s:g} s") from None
        except (ProcessExpired, BrokenProcessPool):
            raise BadImageError("the process that decoded it was killed: memory may have run out") from None

    def stop(self) -> None:
        """Ends the processes."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _new_pool() -> ProcessPool:
    # Not forked: TensorFlow's threads are not copied with the process.
    return ProcessPool(joblib.cpu_count(), initializer=_start, initargs=[os.getpid()], context=get_context("spawn"))


def _start(parent: int) -> None:
    exit_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process decides when to stop


def _decode(files: Mapping[str, bytes], form: ImageForm) -> Decoded:
    try:
        return form.decode(files)
    except BadImageError as error:
        raise BadImageError(str(error)) from None  # its other arguments would be lost between processes
