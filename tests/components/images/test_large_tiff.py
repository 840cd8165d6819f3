import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

from components.images.image import BadImageError
from components.images.large_tiff import reduced_page, reduction_of
from components.images.reader import read_image
from tests.components.images.tiffs import make_tiff

_HEIGHT, _WIDTH = 101, 118


def _reduced(data: bytes, reduction: int) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return reduced_page(file.pages[0], reduction, lambda pixels: pixels)


def _means(pixels: np.ndarray, reduction: int) -> np.ndarray:
    """The means of squares, of height x width x samples."""
    rows, columns = pixels.shape[0] // reduction, pixels.shape[1] // reduction
    cut = pixels[: rows * reduction, : columns * reduction].astype(np.float64)
    means = cut.reshape(rows, reduction, columns, reduction, -1).mean(axis=(1, 3))
    return means if pixels.dtype.kind == "f" else np.floor(means + 0.5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "lzw", "predictor": True},
        {"tile": (32, 48), "compression": "zlib"},
        {"tile": (32, 48)},
        {"photometric": "rgb"},
        {"photometric": "rgb", "tile": (32, 48), "compression": "zstd"},
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "rgb", "planarconfig": "separate", "tile": (48, 32)},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("reduction", [2, 3])
def test_each_pixel_is_the_mean_of_a_square(options: Mapping[str, object], dtype: type[np.generic], reduction: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3)).astype(dtype) * dtype(3)
    if "photometric" not in options:
        values = values[..., :1]
    stored = np.moveaxis(values, 2, 0) if "planarconfig" in options else np.squeeze(values)
    reduced = _reduced(make_tiff(stored, **options), reduction)
    assert reduced.dtype == dtype
    np.testing.assert_allclose(reduced, _means(values, reduction), rtol=1e-6)


@pytest.mark.parametrize(("side", "reduction"), [(75, 1), (8192, 1), (8193, 2), (16385, 3), (20000, 3)])
def test_sides_are_reduced_to_at_most_8192_pixels(side: int, reduction: int) -> None:
    assert reduction_of(side, 75) == reduction_of(75, side) == reduction


@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 256)}, {"photometric": "miniswhite"}, {"colormap": True}, {"dtype": bool}]
)
def test_long_images_have_the_grey_levels_of_small_ones(options: dict[str, object]) -> None:
    values = np.random.default_rng(0).integers(0, 2 if "dtype" in options else 256, (64, 8200)).astype(np.uint8)
    if options.pop("dtype", None):
        values = values.astype(bool)
    if options.pop("colormap", None):
        options |= {
            "photometric": "palette",
            "colormap": np.random.default_rng(1).integers(0, 65536, (3, 256)).astype(np.uint16),
        }
    data = make_tiff(values, **options)
    image, whole = read_image(data), read_image(data, is_reduced=False)
    assert (image.reduction, whole.reduction) == (2, 1)
    for channel in range(len(whole.channel_names)):
        assert whole.plane(channel, 0).shape == (64, 8200)
        np.testing.assert_array_equal(image.plane(channel, 0), _means(whole.plane(channel, 0)[..., None], 2)[..., 0])


def test_missing_and_damaged_parts_are_refused() -> None:
    data = make_tiff(np.random.default_rng(0).integers(0, 256, (64, 8200), np.uint8), tile=(32, 256), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    with pytest.raises(BadImageError, match=r"^a damaged TIFF"):
        read_image(data[:start] + bytes(size) + data[start + size :]).plane(0, 0)


_READ = """
import json, resource, sys
from pathlib import Path
from components.images.decode import Reading, decode_filters, stack_filters
data = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
planes = decode_filters({"red": data}, ["red"], Reading(intensity_range="0:4095"))
stack_filters(planes, 299)
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"tile": (512, 512), "compression": "lzw"}, {}], ids=["tiles", "one strip"])
def test_the_largest_images_take_less_memory_than_their_pixels(tmp_path: Path, options: dict[str, object]) -> None:
    side = 20_000
    row = (np.arange(side) // 8 % 4096).astype(np.uint16)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.broadcast_to(row, (side, side)), photometric="minisblack", **options)
    ended = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=True)
    before_kb, after_kb = json.loads(ended.stdout)
    assert after_kb - before_kb < 450 << 10  # of 763 MB that the pixels would take, once
