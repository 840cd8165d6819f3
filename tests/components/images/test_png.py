import io

import pytest
from PIL import Image

from components.images.png import EXPORT_ADVICE, other_than_png


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "GIF", "BMP"])
def test_an_image_is_known_by_its_content(kind: str) -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, kind)
    assert other_than_png(file.getvalue()) == ("" if kind == "PNG" else f"a {kind} file: {EXPORT_ADVICE}")


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*"])
def test_a_tiff_may_have_either_byte_order(magic: bytes) -> None:
    assert other_than_png(magic + bytes(8)).startswith("a TIFF file: ")


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "an empty file"), (b"no image at all", "no PNG file: it begins with b'no image'")]
)
def test_of_no_image_is_said_how_it_begins(data: bytes, said: str) -> None:
    assert other_than_png(data) == said
