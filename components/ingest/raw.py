"""Brings a source's images under `raw/`, and publishes the index of what is there."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from components.ingest.source import Listed, Source
from components.shared import storage
from components.shared.fingerprint import fingerprint
from components.shared.index import ImageFile, Sample, dump_index, read_index
from components.shared.labels import FILTERS, format_target
from components.shared.manifest import RawImages
from components.shared.progress import exit_with_parent, progress_bar

# Raised when the same source gives another index or other files.
FORMAT = 1

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def published_versions(raw_uri: str) -> list[RawImages]:
    """The versions of the source that were published, the newest first."""
    names = [name for name in storage.list_names(storage.join(raw_uri, "index")) if name.endswith(".json")]
    found = [RawImages.read(storage.join(raw_uri, "index", name)).model_copy(update={"uri": raw_uri}) for name in names]
    return sorted(found, key=lambda version: version.version, reverse=True)


def is_stored(version: RawImages) -> bool:
    """Whether every image of a version is there; somebody may have deleted some.

    Raises:
        OSError: If one is there with another size.
    """
    for sample in read_index(version.index_uri):
        for file in sample.files.values():
            uri = storage.join(version.images_uri, file.name)
            size = storage.size_bytes(uri)
            if size not in (None, file.num_bytes):
                raise OSError(f"{uri} is damaged: expected {file.num_bytes} bytes, found {size}. Delete it and run again")
            if size is None:
                return False
    return True


def ingest_images(source: Source, source_name: str, data_root: str, class_names: list[str]) -> RawImages:
    """Copies every image that is not there yet, and publishes the index of the version, last.

    Args:
        source: Where the samples come from.
        source_name: The parameter's value, for lineage.
        data_root: The folder above `raw/`.
        class_names: The names of the classes, by index.

    Returns:
        The version's manifest: at once where the source says that it is what it was when a version was published.
    """
    raw_uri = storage.join(data_root, "raw", source.name)
    versions = published_versions(raw_uri)
    newest = versions[0] if versions else None
    validator = source.validator()
    for version in versions:
        if version.validator == validator and version.class_names == class_names and is_stored(version):
            return version
    batches = {sample.sample_id: sample.batch for sample in read_index(newest.index_uri)} if newest else {}
    next_batch = 1 + max(batches.values(), default=-1)
    samples = sorted(
        (replace(sample, batch=batches.get(sample.sample_id, next_batch)) for sample in _store_all(source, raw_uri)),
        key=lambda sample: sample.sample_id,
    )
    return _publish(source, source_name, raw_uri, samples, class_names, validator, version=newest.version + 1 if newest else 0)


def _publish(
    source: Source,
    source_name: str,
    raw_uri: str,
    samples: list[Sample],
    class_names: list[str],
    validator: str,
    version: int,
) -> RawImages:
    content = fingerprint("ingest", FORMAT, {"samples": [_content(sample) for sample in samples]}, {"classes": class_names})
    known = RawImages.find(raw_uri, f"index/{content}.json")
    if known:  # the source looks different (other file times, say) and its content is a version that is known
        return known
    manifest = RawImages(
        fingerprint=content,
        inputs={},
        parameters={"source": source_name},
        source=source_name,
        licence=source.licence,
        index_name=f"{content}.csv.gz",
        class_names=class_names,
        validator=validator,
        version=version,
        num_samples=len(samples),
        num_bad=sum(bool(sample.reason) for sample in samples),
        num_incomplete=sum(0 < len(sample.files) < len(FILTERS) for sample in samples),
        num_without_files=source.num_without_files,
        num_bytes=sum(file.num_bytes for sample in samples for file in sample.files.values()),
    )
    storage.write_bytes(storage.join(raw_uri, "index", manifest.index_name), dump_index(samples))
    return manifest.publish(raw_uri, name=f"index/{content}.json")


def _content(sample: Sample) -> list[object]:
    checksums = {name: [file.num_bytes, file.crc32c] for name, file in sample.files.items()}
    return [sample.sample_id, format_target(sample.labels), sample.batch, sample.reason, checksums]


def _store_all(source: Source, raw_uri: str) -> Iterator[Sample]:
    listed = source.listed()
    images_uri = storage.join(raw_uri, "images")
    num_processes = max(1, min(os.cpu_count() or 1, len(listed) // 8))
    workers = ProcessPoolExecutor(
        num_processes,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of this process's threads
        initializer=_start_worker,
        initargs=(source, images_uri, os.getpid()),
    )
    with progress_bar(len(listed), "samples") as progress, workers as pool:
        for sample in pool.map(_store_in_worker, listed, chunksize=4):
            progress.update()
            yield sample


# What a worker process works on: sent to it once, not with every sample.
_work: tuple[Source, str] | None = None


def _start_worker(source: Source, images_uri: str, parent: int) -> None:
    global _work
    exit_with_parent(parent)
    _work = source, images_uri


def _store_in_worker(listed: Listed) -> Sample:
    assert _work is not None
    return store_sample(*_work, listed)


def store_sample(source: Source, images_uri: str, listed: Listed) -> Sample:
    """Puts one sample's images in their place, create-only, and describes them. The batch is filled in later.

    An image whose name is taken by other content becomes `<id>_<filter>.<crc32c>.png`: what was received is never overwritten.
    """
    if listed.reason:
        return Sample(listed.sample_id, listed.labels, 0, listed.reason, {})
    if source.is_constant and (stored := _stored_images(images_uri, listed.sample_id)):
        return Sample(listed.sample_id, listed.labels, 0, "", stored)
    images = source.read(listed.sample_id)
    wrong = [name for name, data in images.items() if not data.startswith(_PNG_SIGNATURE)]
    reason = f"no PNG file: the {wrong[0]} filter's begins with {images[wrong[0]][:8]!r}" if wrong else ""
    files = {name: _store_image(images_uri, f"{listed.sample_id}_{name}", data) for name, data in images.items()}
    return Sample(listed.sample_id, listed.labels, 0, reason, files)


def _stored_images(images_uri: str, sample_id: str) -> dict[str, ImageFile]:
    """What an earlier attempt stored of a sample, if that is all of it."""
    names = {name: f"{sample_id}_{name}.png" for name in FILTERS}
    if not all(storage.exists(storage.join(images_uri, file)) for file in names.values()):
        return {}
    contents = {name: storage.read_bytes(storage.join(images_uri, file)) for name, file in names.items()}
    return {name: ImageFile(names[name], len(data), storage.crc32c(data)) for name, data in contents.items()}


def _store_image(images_uri: str, stem: str, data: bytes) -> ImageFile:
    checksum = storage.crc32c(data)
    for name in (f"{stem}.png", f"{stem}.{checksum}.png"):
        uri = storage.join(images_uri, name)
        if storage.exists(uri):
            if storage.crc32c(storage.read_bytes(uri)) == checksum:
                return ImageFile(name, len(data), checksum)
        else:
            storage.write_bytes(uri, data)
            return ImageFile(name, len(data), checksum)
    raise FileExistsError(
        f"{uri} does not hold what its name says (CRC-32C {checksum}): it is damaged. Delete it and run again"
    )
