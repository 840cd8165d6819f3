import numpy as np
import pytest

from components.images.auto_range import common_range, spanned_levels
from components.images.image import BadImageError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_an_image_spans_all_but_a_thousandth_of_its_pixels_at_either_end(dtype: type[np.generic]) -> None:
    plane = np.full((100, 100), 100)
    plane[0, :10], plane[0, 10] = 3, 20  # a thousandth, and the next one
    plane[1, :10], plane[1, 10] = 250, 230
    np.random.default_rng(0).shuffle(plane.ravel())
    assert spanned_levels(plane.astype(dtype)) == (20, 230)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_a_few_bright_pixels_on_an_even_background_count(dtype: type[np.generic]) -> None:
    plane = np.full((100, 100), 7, dtype)
    plane[50, 50:53] = 90
    assert spanned_levels(plane) == (7, 90)


@pytest.mark.parametrize(
    ("plane", "reason"),
    [
        (np.full((9, 9), 300, np.uint16), r"^all of one grey level, 300$"),
        (np.array([[0, np.nan]], np.float32), r"^damaged: it holds values that are not numbers$"),
        (np.array([[0, np.inf]], np.float32), r"^damaged: its grey levels go from 0 to inf$"),
    ],
)
def test_an_image_without_content_is_refused(plane: np.ndarray, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        spanned_levels(plane)


def test_each_stain_has_a_range_that_few_images_exceed() -> None:
    usual = [[(110, 3900), (0.25, 0.75)]] * 97
    unusual = [[(20, 65535), (0, 9)]] * 3
    assert common_range(usual + unusual) == "100:3900,0.25:0.75"
    assert common_range(unusual) == "0:66000,0:9"


@pytest.mark.parametrize(
    ("span", "expected"),
    [((101, 1001), "100:1010"), ((103, 4321), "100:4400"), ((-0.031, 0.052), "-0.031:0.052"), ((32770, 36000), "32700:36000")],
)
def test_ends_are_rounded_outwards_to_two_digits_of_the_width(span: tuple[float, float], expected: str) -> None:
    assert common_range([[span]]) == expected
