"""Detects the format of an image file by its first bytes. Imports only the standard library, for ingest."""

import importlib.util
from dataclasses import dataclass

PNG, JPEG, TIFF = "PNG", "JPEG", "TIFF"
READABLE = "PNG, TIFF, OME-TIFF or JPEG"


@dataclass(frozen=True)
class VendorFormat:
    """A format that is read if its optional reader is installed: a microscope vendor's, or OME-Zarr.

    Attributes:
        name: The name of the format.
        suffix: The suffix of the format's files, by which readers recognise them.
        package: The reader on PyPI, a plugin of bioio.
        licence: The licence of the package.
    """

    name: str
    suffix: str
    package: str
    licence: str

    @property
    def module(self) -> str:
        """The package's module, whose `Reader` reads the format."""
        return self.package.replace("-", "_")

    @property
    def a_file(self) -> str:
        """A file of the format with its article, such as `a CZI file`."""
        return f"a{'n' if self.name.startswith('O') else ''} {self.name} file"


VENDOR_FORMATS = (
    VendorFormat("CZI", ".czi", "bioio-czi", "GPL-3.0"),
    VendorFormat("LIF", ".lif", "bioio-lif", "BSD-3-Clause"),
    VendorFormat("ND2", ".nd2", "bioio-nd2", "MIT"),
    VendorFormat("OME-Zarr", ".ozx", "bioio-ome-zarr", "BSD-3-Clause"),
)


_PREFIXES = {
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\xff\xd8\xff": JPEG,
    b"II*\0": TIFF,
    b"MM\0*": TIFF,
    b"II+\0": TIFF,
    b"MM\0+": TIFF,
    b"ZISRAWFILE": "CZI",
    b"\x70\0\0\0": "LIF",
    b"\xda\xce\xbe\x0a": "ND2",
    b"PK\x03\x04": "OME-Zarr",  # packed in a ZIP archive: see `image_files`
    b"GIF8": "GIF",
    b"BM": "BMP",
}


def format_of(data: bytes) -> str:
    """The name of a file's format, such as `TIFF`; empty if it is unknown."""
    return next((name for prefix, name in _PREFIXES.items() if data.startswith(prefix)), "")


def vendor_format(data: bytes) -> VendorFormat | None:
    """The vendor format of a file, if any."""
    name = format_of(data)
    return next((vendor for vendor in VENDOR_FORMATS if vendor.name == name), None)


def why_unreadable(data: bytes) -> str:
    """Why a file is not a readable image, as far as its first bytes show; empty if it may be."""
    if not data:
        return "an empty file"
    name = format_of(data)
    if name in (PNG, JPEG, TIFF):
        return ""
    if vendor := vendor_format(data):
        if importlib.util.find_spec(vendor.module):
            return ""
        return (
            f"{vendor.a_file}, which needs a reader that is not installed: pip install bioio {vendor.package} (licence: "
            f"{vendor.licence}), or convert it to OME-TIFF"
        )
    return f"a {name} file: expected {READABLE}" if name else f"no {READABLE} file: it begins with {data[:8]!r}"
