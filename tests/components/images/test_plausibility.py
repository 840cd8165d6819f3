from collections.abc import Callable

import numpy as np
import pytest

from components.artifacts.index import ImageFile
from components.images.plausibility import BadImageError, check_distinct, check_distinct_files, check_exposure

MakePixels = Callable[..., np.ndarray]


def _with_lit(num_lit: int, level: int, num_at_end: int = 0) -> np.ndarray:
    """A dark image of 200 x 200 pixels, some of which are lit, and some of which are at the end of the scale."""
    image = np.full(200 * 200, 7, np.uint8)
    image[:num_lit] = level
    image[:num_at_end] = 255
    return image.reshape(200, 200)


@pytest.mark.parametrize("num_lit", [0, 4])
def test_an_image_with_only_hot_pixels_is_black(num_lit: int) -> None:
    with pytest.raises(BadImageError, match=r"^all black: fewer than 1 in 10,000 pixels is above grey level 7$"):
        check_exposure(_with_lit(num_lit, 200))


def test_an_image_with_a_few_dim_spots_is_accepted() -> None:
    check_exposure(_with_lit(5, 8))


def test_an_image_is_saturated_if_most_lit_pixels_are_at_the_end_of_the_scale() -> None:
    check_exposure(_with_lit(1000, 254, num_at_end=500))
    with pytest.raises(BadImageError, match=r"^saturated: more than half of what is lit is at grey level 255$"):
        check_exposure(_with_lit(1000, 254, num_at_end=501))


def test_filters_with_the_same_pixels_are_named(make_pixels: MakePixels) -> None:
    images = {"red": make_pixels(0), "green": make_pixels(1), "blue": make_pixels(0, 127)}
    check_distinct(images)
    with pytest.raises(BadImageError, match=r"^the green and blue filters show the same image$"):
        check_distinct(images | {"blue": make_pixels(1)})


def test_files_with_the_same_size_and_checksum_are_refused() -> None:
    files = {name: ImageFile(f"s_{name}.png", 1000, name) for name in ("red", "green", "yellow")}
    check_distinct_files(files)
    check_distinct_files(files | {"yellow": ImageFile("s_yellow.png", 1001, "red")})
    with pytest.raises(BadImageError, match=r"^the red and yellow filters show the same image$"):
        check_distinct_files(files | {"yellow": ImageFile("s_yellow.png", 1000, "red")})
