import numpy as np
import pytest

from components.artifacts.parameters import parse_intensity_range
from components.images.grey_levels import to_8_bits
from components.images.image import BadImageError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_range_is_scaled_linearly_clipped_and_rounded_half_up(dtype: type[np.generic]) -> None:
    levels = np.array([[0, 9, 10, 11, 12, 60, 110, 111, 255]]).astype(dtype)
    expected = [[0, 0, 0, 3, 5, 128, 255, 255, 255]]  # 2.55, 5.1, and 127.5 which is rounded up
    scaled = to_8_bits(levels, (10, 110))
    assert scaled.dtype == np.uint8
    assert scaled.tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_whole_range_of_12_bits_is_within_half_a_level_of_division(dtype: type[np.generic]) -> None:
    levels = np.arange(4096).reshape(64, 64)
    assert np.abs(to_8_bits(levels.astype(dtype), (0, 4095)) - levels * 255 / 4095).max() <= 0.5


def test_8_bits_need_no_range() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(to_8_bits(levels, None), levels)


@pytest.mark.parametrize(
    ("levels", "seen", "proposed"),
    [
        (np.array([[3, 4000]], np.uint16), "16-bit, with grey levels from 3 to 4000", "0:4095"),
        (np.array([[3, 200]], np.uint16), "16-bit, with grey levels from 3 to 200", "0:255"),
        (np.array([[3, 5000]], np.uint16), "16-bit, with grey levels from 3 to 5000", "0:16383"),
        (np.array([[32770, 36000]], np.uint16), "16-bit, with grey levels from 32770 to 36000", "32768:36863"),
        (np.array([[-5, 4000]], np.int16), "16-bit, with grey levels from -5 to 4000", "-32768:32767"),
        (np.array([[0, 0.5]], np.float32), "float, with grey levels from 0 to 0.5", "0:1"),
        (np.array([[-0.5, 900.25]], np.float32), "float, with grey levels from -0.5 to 900.25", "-1:901"),
    ],
)
def test_deeper_files_need_a_range_and_the_proposed_one_holds_all_levels(levels: np.ndarray, seen: str, proposed: str) -> None:
    with pytest.raises(BadImageError) as raised:
        to_8_bits(levels, None)
    assert str(raised.value) == (
        f"{seen}: give intensity_range=LOW:HIGH, one for all images, such as intensity_range={proposed}; or, "
        "to train a model, intensity_range=auto"
    )
    scaled = to_8_bits(levels, parse_intensity_range(proposed)[0])
    assert 0 <= scaled.min() < scaled.max() <= 255


def test_nan_is_refused() -> None:
    with pytest.raises(BadImageError, match=r"^damaged: it holds values that are not numbers$"):
        to_8_bits(np.array([[np.nan, 1.0]], np.float32), (0, 1))


def test_8_bit_file_among_deeper_ones_is_refused() -> None:
    with pytest.raises(
        BadImageError, match=r"^of 8 bits, and intensity_range=0:4095 is for deeper files: give files of one kind$"
    ):
        to_8_bits(np.zeros((2, 2), np.uint8), (0, 4095))
