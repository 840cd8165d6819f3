import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.convert.split.near_duplicates import MAX_DISTANCE_BITS
from components.convert.split.perceptual_hash import HASH_BITS, perceptual_hash
from components.synthetic.samples import render_sample

Filters = list[np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]

HASHED = ("red", "green", "blue")


def _distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _distances(hashes: Sequence[bytes]) -> list[int]:
    return [_distance(one, other) for one, other in itertools.combinations(hashes, 2)]


def _decode(png: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.fixture(scope="module")
def real_samples(hpa_dir: Path) -> list[Filters]:
    ids = sorted(path.name.removesuffix("_red.png") for path in (hpa_dir / "train").glob("*_red.png"))
    return [[_decode((hpa_dir / "train" / f"{name}_{colour}.png").read_bytes()) for colour in HASHED] for name in ids]


def test_only_synthetic_siblings_are_near() -> None:
    samples = [render_sample(0, k) for k in range(80)]
    hashes = [perceptual_hash([_decode(sample.pngs[name]) for name in HASHED]) for sample in samples]
    siblings = [one.group == other.group for one, other in itertools.combinations(samples, 2)]
    assert sum(siblings) == 18  # a block of 40 samples has 3 pairs and 2 triples
    distances = _distances(hashes)
    assert max(d for d, sibling in zip(distances, siblings, strict=True) if sibling) < MAX_DISTANCE_BITS - 40
    assert min(d for d, sibling in zip(distances, siblings, strict=True) if not sibling) > MAX_DISTANCE_BITS + 60


def test_the_bit_depth_of_the_file_makes_no_difference() -> None:
    sample = render_sample(0, 0)
    planes = [_decode(sample.pngs[name]) for name in HASHED]
    levels = [(10.0, 200.0), (0.0, 255.0), (3.0, 90.0)]
    usual = perceptual_hash(planes, levels)
    deep = [plane.astype(np.uint16) * 16 + 100 for plane in planes]
    assert perceptual_hash(deep, [(16 * low + 100, 16 * high + 100) for low, high in levels]) == usual
    shares = [plane.astype(np.float64) / 256 for plane in planes]
    assert perceptual_hash(shares, [(low / 256, high / 256) for low, high in levels]) == usual
    assert _distance(usual, perceptual_hash(planes)) < MAX_DISTANCE_BITS // 2


def test_real_samples_of_different_fields_are_far_from_each_other(real_samples: list[Filters]) -> None:
    distances = _distances([perceptual_hash(filters) for filters in real_samples])
    assert min(distances) > MAX_DISTANCE_BITS + 80
    # Unrelated hashes agree like coin tosses: the number of independent bits determines the distance of the closest pair.
    share = np.mean(distances) / HASH_BITS
    assert share == pytest.approx(0.5, abs=0.03)
    assert share * (1 - share) / np.var(np.array(distances) / HASH_BITS) > 500


def _noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE))


def _turned(image: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((240, 240), 2, 1), (480, 480), borderMode=cv2.BORDER_REFLECT_101)


CHANGES: dict[str, Change] = {
    "shifted by 28 px each way": lambda image: image[28:508, 28:508],
    "a third as bright": lambda image: _noisy(image[:480, :480] * 0.33),
    "thrice as bright, saturated": lambda image: _noisy(np.minimum(image[:480, :480] * 3.0, 255)),
    "another gamma": lambda image: (255 * (image[:480, :480] / 255) ** 0.6).astype(np.uint8),
    "out of focus, shifted": lambda image: _noisy(cv2.GaussianBlur(image[8:488, 8:488], (0, 0), 3)),
    "of JPEG quality 30": lambda image: _jpeg(image[:480, :480]),
    "at half the resolution": lambda image: cv2.resize(image[:480, :480], (240, 240), interpolation=cv2.INTER_AREA),
    "at four times the resolution": lambda image: cv2.resize(image[:480, :480], (1920, 1920)),
    "turned by 2 degrees": lambda image: _turned(image[:480, :480]),
    "turned by 180 degrees": lambda image: image[:480, :480][::-1, ::-1],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_real_samples_stay_near_themselves(real_samples: list[Filters], change: Change) -> None:
    for filters in real_samples[::2]:
        before = perceptual_hash([image[:480, :480] for image in filters])
        after = perceptual_hash([np.ascontiguousarray(change(image)) for image in filters])
        assert _distance(before, after) <= MAX_DISTANCE_BITS


def test_a_near_duplicate_is_found_when_one_filter_is_blank_in_both(real_samples: list[Filters]) -> None:
    for red, green, blue in real_samples[:8]:
        black = np.zeros_like(green)
        one = perceptual_hash([red, black, blue])
        other = perceptual_hash([_noisy(red), black, np.ascontiguousarray(blue[16:, 16:])])
        assert 0 < _distance(one, other) <= MAX_DISTANCE_BITS


def test_blank_filters_do_not_make_different_cells_near_duplicates(real_samples: list[Filters]) -> None:
    """Few samples have more than one blank filter."""
    dust = np.zeros((512, 512), np.uint8)
    dust[100, 100] = 40
    hashes = [perceptual_hash([filters[0], np.zeros_like(dust), dust]) for filters in real_samples]
    assert min(_distances(hashes)) > MAX_DISTANCE_BITS + 40
    assert perceptual_hash([real_samples[0][0], np.zeros_like(dust), dust]) == hashes[0]


@given(
    shapes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=3, max_size=4),
    seed=st.integers(0, 1000),
    low=st.sampled_from([0, 7, 254, 255]),
)
def test_the_hash_is_deterministic_and_ignores_the_fourth_filter(shapes: list[tuple[int, int]], seed: int, low: int) -> None:
    draws = np.random.default_rng(seed)
    filters = [draws.integers(low, 256, shape, dtype=np.uint8) for shape in shapes]
    found = perceptual_hash(filters)
    assert len(found) * 8 == HASH_BITS
    assert perceptual_hash(filters[:3]) == found


def test_fewer_stains_have_a_shorter_hash() -> None:
    filters = list(np.random.default_rng(0).integers(0, 256, (4, 64, 64), np.uint8))
    whole = perceptual_hash(filters)
    assert [perceptual_hash(filters[:number]) for number in (1, 2, 3)] == [whole[:32], whole[:64], whole]
