"""The versions of a source under `raw/`: finds them, and publishes the index of a new one."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from components import storage
from components.artifacts.fingerprint import FINGERPRINT_LENGTH, fingerprint
from components.artifacts.image_names import SUFFIXES, by_filter
from components.artifacts.index import ImageFile, Sample, dump_index, read_index, size_bytes
from components.artifacts.labels import format_target, required_stains
from components.artifacts.manifest import RawImages
from components.ingest.sources.source import Source
from components.ingest.transfer import store_images

_FINGERPRINT = re.compile(rb"[0-9a-f]{%d}" % FINGERPRINT_LENGTH)

# Incremented when the same source gives a different index or different files.
FORMAT = 3


def ingest_images(
    source: Source, source_name: str, data_root: str, class_names: list[str], parallel_transfers: int = 16
) -> RawImages:
    """Copies all images that are not stored yet, then publishes the index of the version.

    Args:
        source: Where the samples come from.
        source_name: The value of the parameter, for lineage.
        data_root: The folder above `raw/`.
        class_names: The names of the classes, by index.
        parallel_transfers: The number of concurrent transfers.

    Returns:
        The version's manifest, at once if the source has not changed since a version was published.

    Raises:
        OSError: If the disk is full, or the source or the storage fails. The same call resumes.
        FileExistsError: If a stored file is damaged.
    """
    raw_uri = storage.join(data_root, "raw", source.name)
    for folder in ("images", "index", "index/seen"):
        storage.sweep(storage.join(raw_uri, folder))
    seen_uri = _seen_uri(raw_uri, source, class_names)
    if storage.exists(seen_uri) and (seen := _FINGERPRINT.fullmatch(storage.read_bytes(seen_uri))):
        known = RawImages.find(raw_uri, _manifest_name(seen[0].decode()))
        if known and is_stored(known):
            return known
    newest = newest_version(raw_uri)
    batches = {sample.sample_id: sample.batch for sample in read_index(newest.index_uri)} if newest else {}
    files = store_images(source, storage.join(raw_uri, "images"), parallel_transfers)
    samples = list(_in_batches(_samples(source, files), batches))
    version = _publish(source, source_name, raw_uri, samples, class_names, newest.version + 1 if newest else 0)
    storage.replace_bytes(seen_uri, version.fingerprint.encode())
    return version


def newest_version(raw_uri: str) -> RawImages | None:
    """The newest version of the source whose index still exists."""
    names = [name for name in storage.list_names(storage.join(raw_uri, "index")) if name.endswith(".json")]
    versions = [RawImages.find(raw_uri, f"index/{name}") for name in names]
    return max(
        (version for version in versions if version and storage.exists(version.index_uri)),
        key=lambda version: version.version,
        default=None,
    )


def is_stored(version: RawImages) -> bool:
    """Whether the index and all images of a version still exist.

    Raises:
        OSError: If an image is damaged, as far as its size and a stored checksum tell.
    """
    if not storage.exists(version.index_uri):
        return False
    samples = read_index(version.index_uri)  # first, because reading it takes the most memory
    stored = storage.list_files(version.images_uri)
    for sample in samples:
        for file in sample.files.values():
            found = stored.get(file.name)
            if found is None:
                return False
            if found.num_bytes != file.num_bytes or found.crc32c not in ("", file.crc32c):
                raise OSError(
                    f"{storage.join(version.images_uri, file.name)} is damaged: expected {file.num_bytes} bytes, CRC-32C "
                    f"{file.crc32c}. Received: {found.num_bytes} bytes, CRC-32C {found.crc32c or 'unknown'}. "
                    "Delete it and run again"
                )
    return True


def _seen_uri(raw_uri: str, source: Source, class_names: list[str]) -> str:
    """The file that maps the source's validator to the fingerprint of its version. Several validators may share one."""
    # With the supported formats, because a later release may read files that an earlier one refused.
    known = [str(FORMAT), *SUFFIXES, source.validator(), *class_names]
    key = hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]
    return storage.join(raw_uri, "index", "seen", key)


def _manifest_name(content: str) -> str:
    return f"index/{content}.json"


def _samples(source: Source, stored: dict[str, dict[str, ImageFile | str]]) -> Iterable[Sample]:
    """Yields the samples of the source with their files, or the reason why they cannot be used."""
    for listed in sorted(source.listed(), key=lambda listed: listed.sample_id):
        found = by_filter(stored.pop(listed.sample_id, {}), source.channels)
        files = {name: found[name] for name in source.stains if name in found}
        reasons = [f"the {name} filter is {file}" for name, file in files.items() if isinstance(file, str)]
        good = {name: file for name, file in files.items() if isinstance(file, ImageFile)}
        reason = listed.reason or "; ".join(reasons[:1])
        yield Sample(listed.sample_id, listed.labels, 0, reason, good, listed.group, listed.columns)


def _in_batches(samples: Iterable[Sample], batches: Mapping[str, int]) -> Iterable[Sample]:
    """Gives each sample the number of the ingest that added it: an earlier one, or this one."""
    next_batch = 1 + max(batches.values(), default=-1)
    return (replace(sample, batch=batches.get(sample.sample_id, next_batch)) for sample in samples)


def _publish(
    source: Source, source_name: str, raw_uri: str, samples: list[Sample], class_names: list[str], version: int
) -> RawImages:
    channels = {"channels": source.channels} if source.channels else {}
    content = fingerprint("ingest", FORMAT, {"samples": _content(samples)}, {"classes": class_names} | channels)
    index_name = f"{content}.csv.gz"
    index_uri = storage.join(raw_uri, "index", index_name)
    known = RawImages.find(raw_uri, _manifest_name(content))
    if not known or not storage.exists(index_uri):  # it may have been deleted
        storage.write_bytes(index_uri, dump_index(samples))
    if known:  # e.g. with other file times: the source looks different, but its content is a known version
        return known
    expected = {*required_stains(source.stains)}.union(*(sample.files for sample in samples))  # many samples have no yellow
    manifest = RawImages(
        fingerprint=content,
        inputs={},
        parameters={"source": source_name},
        source=source_name,
        licence=source.licence,
        index_name=index_name,
        class_names=class_names,
        version=version,
        num_samples=len(samples),
        num_bad=sum(bool(sample.reason) for sample in samples),
        num_incomplete=sum(0 < len(sample.files) < len(expected) for sample in samples),
        num_without_files=source.num_without_files,
        num_unlabelled=source.num_unlabelled,
        num_bytes=sum(size_bytes(sample.files.values()) for sample in samples),
        channels=source.channels,
    )
    return manifest.publish(raw_uri, name=_manifest_name(content))


def _content(samples: list[Sample]) -> str:
    """A digest of the samples that does not depend on the names of their files."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(repr((sample.sample_id, format_target(sample.labels), sample.batch, sample.reason)).encode())
        if sample.group or sample.columns:
            digest.update(repr((sample.group, sample.columns)).encode())
        for name, file in sample.files.items():
            digest.update(f"{name} {file.num_bytes} {file.crc32c}\n".encode())
    return digest.hexdigest()
