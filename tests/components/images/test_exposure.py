import numpy as np
import pytest

from components.images.exposure import exposure_warnings
from components.images.intensity import channel_histograms


def _image(low: int, high: int, seed: int = 0) -> np.ndarray:
    """A channel with uniformly distributed grey levels: uint8, shape (96, 96, 1)."""
    return np.random.default_rng(seed).integers(low, high + 1, (96, 96, 1)).astype(np.uint8)


def _warnings(*images: np.ndarray) -> dict[str, tuple[str, ...]]:
    histograms = {f"s{number}": channel_histograms(image) for number, image in enumerate(images)}
    return {warning.problem: warning.sample_ids for warning in exposure_warnings(histograms, ["green"])}


def test_well_exposed_images_give_no_warning() -> None:
    assert _warnings(_image(0, 200), _image(10, 250), _image(0, 60)) == {}


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (_image(0, 16), "nearly black"),
        (_image(128, 250), "on an offset"),
        (_image(25, 38), "low in contrast"),
        (np.where(_image(0, 3) == 0, 255, _image(0, 100)).astype(np.uint8), "saturated"),
    ],
)
def test_bad_exposure_is_reported(image: np.ndarray, problem: str) -> None:
    assert _warnings(_image(0, 200), image) == {problem: ("s1",)}


def test_images_unlike_the_rest_are_reported() -> None:
    assert _warnings(_image(0, 20), *(_image(0, 250, seed) for seed in range(9))) == {"unlike the others": ("s0",)}


def test_few_images_are_not_compared_with_each_other() -> None:
    assert _warnings(_image(0, 20), _image(0, 250)) == {}


def test_warnings_name_some_samples_and_give_advice() -> None:
    dark = {f"s{number}": channel_histograms(_image(0, 16, number)) for number in range(5)}
    (warning,) = exposure_warnings(dark, ["green"])
    assert str(warning) == (
        "green: 5 of 5 images look nearly black (s0, s1, s2 and 2 more): 99.9 % of the pixels are below grey level 17 of 255. "
        "Set intensity_range to the grey levels that your files use, unless they are meant to look so."
    )


def test_coarse_and_fine_histograms_agree() -> None:
    fine = {f"s{number}": channel_histograms(_image(0, 16, number)) for number in range(3)}
    coarse = {sample_id: histogram.reshape(1, 64, 4).sum(axis=2) for sample_id, histogram in fine.items()}
    assert exposure_warnings(coarse, ["green"]) == exposure_warnings(fine, ["green"])


def test_no_images_give_no_warning() -> None:
    assert exposure_warnings({}, ["green"]) == []
