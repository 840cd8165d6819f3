"""Detects the format of an image file by its first bytes. Imports only the standard library, for ingest."""

import importlib.util
from dataclasses import dataclass

PNG, JPEG, TIFF = "PNG", "JPEG", "TIFF"
READABLE = "PNG, TIFF, OME-TIFF or JPEG"


@dataclass(frozen=True)
class VendorFormat:
    """A microscope vendor's format, which is read if its optional reader is installed.

    Attributes:
        name: The name of the format.
        package: The reader on PyPI, a plugin of bioio.
        licence: The licence of the package.
    """

    name: str
    package: str
    licence: str

    @property
    def module(self) -> str:
        """The package's module, whose `Reader` reads the format."""
        return self.package.replace("-", "_")

    @property
    def suffix(self) -> str:
        """The suffix of the format's files, by which readers recognise them."""
        return f".{self.name.lower()}"


VENDOR_FORMATS = (
    VendorFormat("CZI", "bioio-czi", "GPL-3.0"),
    VendorFormat("LIF", "bioio-lif", "BSD-3-Clause"),
    VendorFormat("ND2", "bioio-nd2", "MIT"),
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
            f"a {name} file, which needs a reader that is not installed: pip install bioio {vendor.package} (licence: "
            f"{vendor.licence}), or convert it to OME-TIFF"
        )
    return f"a {name} file: expected {READABLE}" if name else f"no {READABLE} file: it begins with {data[:8]!r}"
