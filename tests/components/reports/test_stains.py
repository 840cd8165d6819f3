import numpy as np
import pytest

from components.artifacts.labels import FILTERS
from components.reports.stains import composite, legend, stain_colours


def test_red_green_and_blue_keep_their_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert np.array_equal(composite(pixels, stain_colours(FILTERS[:3])), pixels)


def test_stains_add_up_and_are_clipped() -> None:
    pixels = np.array([[[200, 100, 0, 100]]], np.uint8)
    assert composite(pixels, stain_colours(FILTERS)).tolist() == [[[255, 200, 0]]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["protein"], "Grey: protein."),
        (["actin", "tubulin"], "Green: actin. Magenta: tubulin."),
        (["Hoechst 33342", "protein"], "Blue: Hoechst 33342. Green: protein."),
        (["green", "DNA", "red"], "Green: the protein. Blue: DNA. Red: microtubules."),
    ],
)
def test_stains_have_the_colours_that_their_names_suggest(names: list[str], expected: str) -> None:
    assert legend(names) == expected


def test_eight_stains_have_different_colours() -> None:
    assert len(set(stain_colours(["DNA", "red", *"abcdef"]))) == 8
