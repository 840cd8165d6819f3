import io
import re

import numpy as np
import pytest
from PIL import Image

from components.images.formats import format_of, why_unreadable
from components.images.image import BadImageError
from components.images.reader import read_image


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "GIF", "BMP"])
def test_format_is_detected_by_content(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, kind)
    assert format_of(file.getvalue()) == kind
    expected = f"a {kind} file: expected PNG, TIFF, OME-TIFF or JPEG" if kind in ("GIF", "BMP") else ""
    assert why_unreadable(file.getvalue()) == expected


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a", b"<!DOCTYPE html>", b"II", bytes(100)])
def test_a_file_that_is_not_an_image_is_refused_with_its_first_bytes(data: bytes) -> None:
    with pytest.raises(BadImageError, match=f"^no PNG, TIFF, .* file: it begins with {re.escape(repr(data[:8]))}$"):
        read_image(data)


def test_empty_file_is_refused() -> None:
    with pytest.raises(BadImageError, match=r"^an empty file$"):
        read_image(b"")


@pytest.mark.parametrize(
    ("data", "reader", "licence"),
    [
        (b"ZISRAWFILE", "bioio-czi", "GPL-3.0"),
        (b"\x70\0\0\0\x10\0\0\0*", "bioio-lif", "BSD-3-Clause"),
        (b"\xda\xce\xbe\x0a", "bioio-nd2", "MIT"),
        (b"PK\x03\x04", "bioio-ome-zarr", "BSD-3-Clause"),
    ],
)
def test_vendor_format_names_its_reader_and_the_alternative(data: bytes, reader: str, licence: str) -> None:
    with pytest.raises(BadImageError, match=rf"pip install bioio {reader} \(licence: {licence}\), or convert it to OME-TIFF$"):
        read_image(data)
