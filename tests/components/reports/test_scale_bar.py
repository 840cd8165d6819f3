import numpy as np
import pytest

from components.reports.pictures import draw
from components.reports.scale_bar import with_scale_bar


@pytest.mark.parametrize(("width_um", "length_um"), [(16, 5), (0.5, 0.1), (3, 1), (900, 200)])
def test_the_bar_has_a_round_length_of_at_most_a_third_of_the_width(width_um: float, length_um: float) -> None:
    drawn = with_scale_bar(np.zeros((150, 300, 3), np.uint8), width_um)
    bar = np.flatnonzero(drawn[144].all(axis=1))
    assert bar[-1] == 294
    assert len(bar) == pytest.approx(300 * length_um / width_um, abs=2)
    assert drawn[125:140, 250:].any()  # the label


def test_without_a_width_there_is_no_bar() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(with_scale_bar(pixels, None), pixels)


def test_the_bar_is_on_the_stains_and_not_on_the_activation_map() -> None:
    pixels = np.full((200, 200, 3), 100, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    drawn = draw(pixels, heat, width_um=16)
    assert (drawn[194, 140:190] == 255).all()
    np.testing.assert_array_equal(drawn[:, 200:], draw(pixels, heat)[:, 200:])
