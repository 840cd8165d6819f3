"""Copies a source's images to `raw/`: only missing ones, several at a time, each verified and create-only."""

import contextlib
import multiprocessing
import os
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

from components import storage
from components.artifacts.index import ImageFile
from components.images.formats import why_unreadable
from components.ingest.sources.source import Source, SourceImage
from components.runtime.progress import exit_with_parent, progress_bar
from components.storage.store import StoredFile

# `<id>_<filter>.<crc32c>.png`: an image whose plain name, `<id>_<filter>.png`, was taken by other content.
_CHANGED_NAME = re.compile(r"(.*)\.[0-9a-f]{8}(\.\w+)")

# The memory for images, over all threads: enough for 16 transfers of 2 MB each.
_MAX_HELD_BYTES = 32 << 20

# An image as in the index, or the reason why it cannot be used.
_Outcome = ImageFile | str
_Outcomes = list[tuple[SourceImage, _Outcome]]
_Chunk = Sequence[SourceImage]


class _Stored:
    """The files that are already stored."""

    def __init__(self, files: Mapping[str, StoredFile]) -> None:
        self._files = files
        self._changed: dict[str, list[str]] = defaultdict(list)
        for name in files:
            if match := _CHANGED_NAME.fullmatch(name):
                self._changed[match[1] + match[2]].append(name)

    def under(self, name: str) -> dict[str, StoredFile]:
        """The stored files that may be an image: with its plain name, or with a checksum in the name."""
        names = (name, *self._changed.get(name, ()))
        return {name: self._files[name] for name in names if name in self._files}


class _Memory:
    """Limits the bytes that threads hold together. A thread that asks for more than the limit waits until it is alone."""

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = self._free_bytes = num_bytes
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Waits until the bytes are free, and holds them."""
        taken = min(num_bytes, self._num_bytes)
        with self._changed:
            self._changed.wait_for(lambda: taken <= self._free_bytes)
            self._free_bytes -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free_bytes += taken
                self._changed.notify_all()


def store_images(source: Source, images_uri: str, parallel_transfers: int) -> dict[str, dict[str, _Outcome]]:
    """Stores every image of a source.

    Returns:
        By sample and filter: the image as in the index, or the reason why it cannot be used.
    """
    stored = _Stored(storage.list_files(images_uri))
    results: dict[str, dict[str, _Outcome]] = defaultdict(dict)
    total, unit = sum(_progress(source, chunk) for chunk in source.chunks()), "samples" if source.is_synthetic else "B"
    with _workers(source, images_uri, stored, parallel_transfers) as pool, progress_bar(total, unit) as progress:
        memory = _Memory(_MAX_HELD_BYTES)
        store = _store_in_worker if source.is_synthetic else partial(_store_in_thread, memory, source, images_uri, stored)
        for outcomes in _in_order(pool, store, source.chunks(), 4 * parallel_transfers):
            for image, outcome in outcomes:
                results[image.sample_id][image.filter] = outcome
            progress.update(_progress(source, [image for image, _ in outcomes]))
    storage.sync(images_uri)  # once for all images, before the index refers to them
    return results


def _in_order(
    pool: Executor, store: Callable[[_Chunk], _Outcomes], chunks: Iterable[_Chunk], num_ahead: int
) -> Iterator[_Outcomes]:
    """Like `pool.map`, but keeps few chunks waiting: those of a large source take as much memory as their results."""
    waiting: deque[Future[_Outcomes]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(store, chunk))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _progress(source: Source, chunk: _Chunk) -> int:
    """The progress that a chunk stands for: one synthetic sample, or its bytes."""
    return 1 if source.is_synthetic else sum(image.content.num_bytes for image in chunk if image.content)


def _workers(source: Source, images_uri: str, stored: _Stored, parallel_transfers: int) -> Executor:
    """Threads, which wait for the network; or one process per core for a source that is computed."""
    if not source.is_synthetic:
        return ThreadPoolExecutor(parallel_transfers)
    return ProcessPoolExecutor(
        max(1, min(os.cpu_count() or 1, len(source.listed()) // 8)),
        mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of this process's threads
        initializer=_start_worker,
        initargs=(source, images_uri, stored, os.getpid()),
    )


# The arguments of a worker process, sent once instead of with every sample.
_work: tuple[Source, str, _Stored] | None = None


def _start_worker(source: Source, images_uri: str, stored: _Stored, parent: int) -> None:
    global _work
    exit_with_parent(parent)
    _work = source, images_uri, stored


def _store_in_worker(chunk: _Chunk) -> _Outcomes:
    assert _work is not None
    return store_chunk(*_work, chunk)


def _store_in_thread(memory: _Memory, source: Source, images_uri: str, stored: _Stored, chunk: _Chunk) -> _Outcomes:
    with memory.hold(max(image.content.num_bytes if image.content else 0 for image in chunk)):
        return store_chunk(source, images_uri, stored, chunk)


def store_chunk(source: Source, images_uri: str, stored: _Stored, chunk: _Chunk) -> _Outcomes:
    """Stores the missing images of a chunk, and describes all of its images."""
    found = {image: _find(source, images_uri, image, stored.under(image.plain_name)) for image in chunk}
    missing = [image for image, file in found.items() if file is None]
    outcomes: _Outcomes = [(image, file) for image, file in found.items() if file]
    for image, data in source.read(missing):
        outcomes.append((image, why_unreadable(data) or _store_image(images_uri, image, data, stored.under(image.plain_name))))
        del data  # before the next one is read
    return outcomes


def _find(source: Source, images_uri: str, image: SourceImage, stored: Mapping[str, StoredFile]) -> ImageFile | None:
    """The stored file of an image, if it can be identified without reading the image from the source."""
    for name, file in stored.items():
        uri = storage.join(images_uri, name)
        if source.is_synthetic:
            return ImageFile(name, file.num_bytes, file.crc32c or storage.stored_crc32c(uri))
        if image.content and image.content.num_bytes == file.num_bytes and _is_known(image.content):
            whole = storage.with_checksums(uri, file)
            if image.content.crc32 in ("", whole.crc32) and image.content.crc32c in ("", whole.crc32c):
                return ImageFile(name, whole.num_bytes, whole.crc32c)
    return None


def _is_known(content: StoredFile) -> bool:
    return bool(content.crc32 or content.crc32c)


def _store_image(images_uri: str, image: SourceImage, data: bytes, stored: Mapping[str, StoredFile]) -> ImageFile:
    """Publishes an image, with its checksum in the name if the plain name is taken by other content."""
    checksum = storage.crc32c(data)
    crc32 = (image.content and image.content.crc32) or storage.crc32(data)  # the source has verified its own
    # Images with known checksums are compared with the source on every run, even after a power failure; synthetic ones are not.
    sync = image.content is None
    for name in (image.plain_name, f"{image.stem}.{checksum}{image.suffix}"):
        uri = storage.join(images_uri, name)
        known = stored.get(name)
        if known is None:
            try:
                storage.write_bytes(uri, data, crc32, sync)
            except FileExistsError:  # another run has published other content in the meantime
                continue
            return ImageFile(name, len(data), checksum)
        if known.num_bytes == len(data) and (known.crc32c or storage.stored_crc32c(uri)) == checksum:
            return ImageFile(name, len(data), checksum)
    raise FileExistsError(f"{uri} is damaged: expected the CRC-32C in its name, {checksum}. Delete it and run again")
