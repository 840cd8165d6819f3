"""Lists and reads the image files of a folder. An OME-Zarr image is a folder itself, and is listed and read as one file."""

import hashlib
import io
import re
import zipfile
from collections import defaultdict
from pathlib import PurePosixPath

from components import storage
from components.storage.read_ahead import read_ahead, start_readers
from components.storage.store import StoredFile

OME_ZARR = ".zarr"
# The suffix of an OME-Zarr image in one file: a ZIP archive without compression, as OME-NGFF's RFC 9 defines it.
PACKED_OME_ZARR = ".ozx"
_INSIDE_OME_ZARR = re.compile(rf"{re.escape(OME_ZARR)}(?=/)", re.IGNORECASE)
# bioformats2raw writes this file beside numbered folders, one for each image.
_OF_BIOFORMATS2RAW = "OME/METADATA.ome.xml"


def list_images(uri: str) -> dict[str, StoredFile]:
    """The files anywhere below a folder by relative path, sorted, with each OME-Zarr folder in place of the files in it.

    An OME-Zarr folder's size is the sum of its files, and its version changes with any of their names, sizes, checksums and
    modification times.
    """
    images: dict[str, StoredFile] = {}
    parts: dict[str, dict[str, StoredFile]] = defaultdict(dict)
    for path, file in storage.list_files(uri, is_deep=True).items():
        if inside := _INSIDE_OME_ZARR.search(path):
            parts[path[: inside.end()]][path] = file
        else:
            images[path] = file
    images |= {path: _as_one(files) for path, files in parts.items()}
    return dict(sorted(images.items()))


def _as_one(files: dict[str, StoredFile]) -> StoredFile:
    lines = (f"{path}\0{file.num_bytes}\0{file.crc32c or file.version}\n" for path, file in files.items())
    version = hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
    return StoredFile(sum(file.num_bytes for file in files.values()), version=version)


def stored_suffix(uri: str) -> str:
    """The suffix of what `read_image_file` reads."""
    suffix = PurePosixPath(uri).suffix.lower()
    return PACKED_OME_ZARR if suffix == OME_ZARR else suffix


def read_image_file(uri: str) -> bytes:
    """Reads an image file, or packs an OME-Zarr folder: the same bytes for the same files.

    The folder is an image, or what bioformats2raw makes of a file with one image.

    Raises:
        OSError: If it does not exist or cannot be read.
    """
    files = storage.list_files(uri, is_deep=True) if uri.lower().endswith(OME_ZARR) else {}
    if not files:
        return storage.read_bytes(uri)
    if _OF_BIOFORMATS2RAW in files and not any(name.startswith("1/") for name in files):
        uri = storage.join(uri, "0")
        files = storage.list_files(uri, is_deep=True)
    packed = io.BytesIO()
    with start_readers(uri) as readers, zipfile.ZipFile(packed, "w") as archive:
        contents = read_ahead(
            readers, files, lambda name: storage.read_bytes(storage.join(uri, name)), lambda name: files[name].num_bytes
        )
        for name, content in contents:
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()
