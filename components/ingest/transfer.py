"""Brings a source's images under `raw/`: only those that are not there yet, several at once, each checked and create-only."""

import multiprocessing
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

from components.ingest.source import Source, SourceImage
from components.shared import storage
from components.shared.index import ImageFile
from components.shared.progress import exit_with_parent, progress_bar
from components.shared.storage import StoredFile

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# `<id>_<filter>.png`, or `<id>_<filter>.<crc32c>.png` of an image whose first name was taken by other content.
_STORED_NAME = re.compile(r"(.*?)(\.[0-9a-f]{8})?\.png")

# What is stored already, by the images' stems and then by name.
_Stored = Mapping[str, Mapping[str, StoredFile]]
# An image as the index has it; or what is wrong with it.
_Outcome = ImageFile | str


def store_images(source: Source, images_uri: str, parallel_transfers: int) -> dict[str, dict[str, _Outcome]]:
    """Puts every image of a source in its place.

    Returns:
        By sample and filter: the image as the index has it, or the reason why it cannot be used.
    """
    chunks = list(source.chunks())
    stored = _by_stem(storage.list_files(images_uri))
    results: dict[str, dict[str, _Outcome]] = defaultdict(dict)
    sizes = [image.content.num_bytes if image.content else 0 for chunk in chunks for image in chunk]
    total, unit = (len(chunks), "samples") if source.is_drawn else (sum(sizes), "B")
    with _workers(source, images_uri, parallel_transfers) as pool, progress_bar(total, unit) as progress:
        known = ({image.stem: stored.get(image.stem, {}) for image in chunk} for chunk in chunks)
        store = _store_in_worker if source.is_drawn else partial(store_chunk, source, images_uri)
        for chunk, outcomes in zip(chunks, pool.map(store, chunks, known), strict=True):
            for image, outcome in outcomes:
                results[image.sample_id][image.filter] = outcome
            progress.update(1 if source.is_drawn else sum(image.content.num_bytes for image in chunk if image.content))
    return results


def _by_stem(stored: Mapping[str, StoredFile]) -> dict[str, dict[str, StoredFile]]:
    by_stem: dict[str, dict[str, StoredFile]] = defaultdict(dict)
    for name, file in stored.items():
        if match := _STORED_NAME.fullmatch(name):
            by_stem[match[1]][name] = file
    return by_stem


def _workers(source: Source, images_uri: str, parallel_transfers: int) -> Executor:
    """Threads, which wait for a network together; or a process a core for a source that is computed."""
    if not source.is_drawn:
        return ThreadPoolExecutor(parallel_transfers)
    return ProcessPoolExecutor(
        max(1, min(os.cpu_count() or 1, len(source.listed()) // 8)),
        mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of this process's threads
        initializer=_start_worker,
        initargs=(source, images_uri, os.getpid()),
    )


# What a worker process works on: sent to it once, not with every sample.
_work: tuple[Source, str] | None = None


def _start_worker(source: Source, images_uri: str, parent: int) -> None:
    global _work
    exit_with_parent(parent)
    _work = source, images_uri


def _store_in_worker(chunk: Sequence[SourceImage], stored: _Stored) -> list[tuple[SourceImage, _Outcome]]:
    assert _work is not None
    return store_chunk(*_work, chunk, stored)


def store_chunk(
    source: Source, images_uri: str, chunk: Sequence[SourceImage], stored: _Stored
) -> list[tuple[SourceImage, _Outcome]]:
    """Stores those images of a chunk that are not there yet, and describes all of them."""
    found = {image: _find(source, images_uri, image, stored[image.stem]) for image in chunk}
    missing = [image for image, file in found.items() if file is None]
    outcomes: list[tuple[SourceImage, _Outcome]] = [(image, file) for image, file in found.items() if file]
    for image, data in source.read(missing):
        outcomes.append((image, _problem(data) or _store_image(images_uri, image, data, stored[image.stem])))
    return outcomes


def _find(source: Source, images_uri: str, image: SourceImage, stored: Mapping[str, StoredFile]) -> ImageFile | None:
    """The stored file that is this image, if that can be told without reading the image from the source."""
    for name, file in stored.items():
        uri = storage.join(images_uri, name)
        if source.is_drawn:
            return ImageFile(name, file.num_bytes, file.crc32c or storage.stored_crc32c(uri))
        if image.content and image.content.num_bytes == file.num_bytes and _is_known(image.content):
            whole = storage.with_checksums(uri, file)
            if image.content.crc32 in ("", whole.crc32) and image.content.crc32c in ("", whole.crc32c):
                return ImageFile(name, whole.num_bytes, whole.crc32c)
    return None


def _is_known(content: StoredFile) -> bool:
    return bool(content.crc32 or content.crc32c)


def _problem(data: bytes) -> str:
    return "" if data.startswith(_PNG_SIGNATURE) else f"no PNG file: it begins with {data[:8]!r}" if data else "an empty file"


def _store_image(images_uri: str, image: SourceImage, data: bytes, stored: Mapping[str, StoredFile]) -> ImageFile:
    """Publishes an image: under the name with its checksum if the plain one is taken by other content."""
    checksum = storage.crc32c(data)
    for name in (f"{image.stem}.png", f"{image.stem}.{checksum}.png"):
        uri = storage.join(images_uri, name)
        known = stored.get(name)
        if known is None:
            try:
                storage.write_bytes(uri, data, crc32=storage.crc32(data))
            except FileExistsError:  # another run has published other content in the meantime
                continue
            return ImageFile(name, len(data), checksum)
        if known.num_bytes == len(data) and (known.crc32c or storage.stored_crc32c(uri)) == checksum:
            return ImageFile(name, len(data), checksum)
    raise FileExistsError(
        f"{uri} does not hold what its name says (CRC-32C {checksum}): it is damaged. Delete it and run again"
    )
