"""Synthetic samples: their content and labels, and that they are the same everywhere."""

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from components.artifacts.labels import CLASS_NAMES, FILTERS, NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS
from components.reports.contact_sheet import contact_sheet
from components.synthetic import camera, polar
from components.synthetic.draws import Draws
from components.synthetic.samples import (
    FORMAT,
    SyntheticSample,
    class_examples,
    pattern_sample,
    render_sample,
    sample_group,
    sample_id,
    sample_labels,
)

# The bytes of all files of samples 0 to 3 of seed 0, and of one sample of each class alone. If they change, increment FORMAT in
# components/synthetic/samples.py and update the values here: then earlier data is not mistaken for the new.
GOLDEN = {"format": 1, "digest": "05732430188354db970e2001fb949b05c4f22c79e1b2fd4b5d1b9cc2471b027a"}
ROOT = Path(__file__).resolve().parents[3]


def pixels(sample: SyntheticSample, name: str) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(sample.pngs[name])) as image:
        return np.asarray(image).astype(np.int64)


def digest() -> str:
    content = hashlib.sha256()
    for sample in [render_sample(0, k) for k in range(4)] + list(class_examples(0)):
        for name in FILTERS:
            content.update(sample.pngs[name])
    return content.hexdigest()


@pytest.fixture(scope="module")
def patterns() -> dict[str, SyntheticSample]:
    return {name: pattern_sample(2, label) for label, name in enumerate(CLASS_NAMES)}


# Labels, groups and ids.


def test_labels_follow_the_published_distribution() -> None:
    labels = [sample_labels(0, k) for k in range(NUM_PUBLISHED_SAMPLES)]
    counts = Counter(label for some in labels for label in some)
    for label, (name, published) in enumerate(PUBLISHED_COUNTS.items()):
        # Five standard deviations of a count; siblings share labels, which widens it by less than a half.
        assert abs(counts[label] - published) <= 5 * 1.5 * published**0.5, name
    sizes = Counter(len(some) for some in labels)
    for num_labels, percent in {1: 48.68, 2: 40.18, 3: 10.17, 4: 0.96}.items():
        assert 100 * sizes[num_labels] / len(labels) == pytest.approx(percent, abs=1.5), num_labels
    assert all(list(some) == sorted(set(some)) and some for some in labels)


@pytest.mark.parametrize("seed", range(8))
def test_280_samples_show_each_class(seed: int) -> None:
    assert {label for k in range(280) for label in sample_labels(seed, k)} == set(range(len(CLASS_NAMES)))


def test_groups_name_their_first_member_and_share_labels() -> None:
    groups = [sample_group(5, k) for k in range(4000)]
    sizes = Counter(groups)
    assert all(group <= k and groups[group] == group for k, group in enumerate(groups))
    assert all(sample_labels(5, k) == sample_labels(5, group) for k, group in enumerate(groups))
    assert set(sizes.values()) == {1, 2, 3}
    assert sum(size for size in sizes.values() if size > 1) / len(groups) == pytest.approx(0.3)


def test_ids_are_unique_and_reveal_nothing() -> None:
    ids = [sample_id(0, k) for k in range(5000)] + [sample_id(1, k) for k in range(5000)]
    assert len(set(ids)) == len(ids)
    assert all([len(part) for part in some.split("-")] == [8, 4, 4, 4, 12] for some in ids)
    # In the order of ids, siblings are no nearer to each other than others are.
    order = np.argsort(np.argsort(ids[:5000]))
    pairs = [(k, sample_group(0, k)) for k in range(5000) if sample_group(0, k) != k]
    apart = np.mean([abs(order[k] - order[group]) for k, group in pairs])
    assert apart == pytest.approx(5000 / 3, rel=0.15)


@pytest.mark.parametrize(("seed", "k", "said"), [(-1, 0, "seed=-1"), (0, -2, "k=-2")])
def test_negative_numbers_are_refused(seed: int, k: int, said: str) -> None:
    for ask in (sample_id, sample_group, sample_labels, render_sample):
        with pytest.raises(ValueError, match=said):
            ask(seed, k)


# The same bytes everywhere.


def test_bytes_change_only_with_the_format() -> None:
    assert {"format": FORMAT, "digest": digest()} == GOLDEN


def test_bytes_do_not_depend_on_vector_instructions() -> None:
    """NumPy's sine and exponential differ in the last bit between processors: disabling its fast paths changes nothing."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("NumPy uses no vector instructions on this processor beyond those it was built for")
    code = "from tests.components.synthetic.test_samples import digest; print(digest())"
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found), "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == GOLDEN["digest"]


def test_other_processes_render_the_same_bytes() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        elsewhere = list(pool.map(render_sample, [3] * 4, [3, 2, 1, 0]))
    assert elsewhere == [render_sample(3, k) for k in (3, 2, 1, 0)]
    assert pickle.loads(pickle.dumps(elsewhere[0])) == elsewhere[0]


@pytest.mark.parametrize("exact", [polar.exact_cosines, polar.exact_directions, camera.exact_noise_quantiles])
def test_no_rounding_depends_on_the_last_bit(exact: Callable[[], NDArray[np.float64]]) -> None:
    values = exact()
    assert np.abs(values - np.floor(values) - 0.5).min() > 1e-6


def test_png_files_do_not_depend_on_the_zlib_version() -> None:
    """Pillow bundles zlib-ng, whose matching code differs from the zlib of most Pythons."""
    rng = Draws(1, 2)
    greys: list[NDArray[np.uint8]] = [rng.noise(512 * 512), rng.noise(512 * 512) // 32, np.repeat(rng.noise(512 * 8), 64)]
    for grey in greys:
        made = camera.encode_png(grey.reshape(512, 512))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(made))), grey.reshape(512, 512))
        # Pillow filters rows of grey images, but never those of palette images: there only the packing is left to compare.
        twin, file = Image.frombytes("P", (512, 512), grey.tobytes()), io.BytesIO()
        twin.putpalette(bytes(range(256)) * 3)
        twin.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
        assert packed(made) == packed(file.getvalue())


def packed(png: bytes) -> bytes:
    found, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            found += png[place + 8 : place + 8 + length]
        place += 12 + length
    return found


# The content of the images.


def test_samples_are_four_greyscale_images() -> None:
    sample = render_sample(0, 7)
    assert (sample.sample_id, sample.labels, sample.group) == (sample_id(0, 7), sample_labels(0, 7), sample_group(0, 7))
    assert tuple(sample.pngs) == FILTERS
    for name in FILTERS:
        with Image.open(io.BytesIO(sample.pngs[name])) as image:
            assert (image.size, image.mode, image.format) == ((512, 512), "L", "PNG")
        assert 15_000 < len(sample.pngs[name]) < 235_000


def test_near_duplicates_show_the_same_field() -> None:
    found = 0
    for k in range(80):
        group = sample_group(0, k)
        if group == k:
            continue
        first, second = (pixels(render_sample(0, number), "blue") for number in (group, k))
        assert not np.array_equal(first, second)
        assert best_overlap(first, second) > 0.9, k
        found += 1
    assert found >= 8
    assert best_overlap(pixels(render_sample(0, 0), "blue"), pixels(render_sample(0, 1), "blue")) < 0.5


def best_overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The correlation of two images at their best shift of up to 40 pixels."""
    product = np.fft.irfft2(np.fft.rfft2(one - one.mean()) * np.conj(np.fft.rfft2(other - other.mean())), s=one.shape)
    peak = np.unravel_index(np.argmax(product), product.shape)
    down, right = (int((way + 256) % 512 - 256) for way in peak)
    if max(abs(down), abs(right)) > 40:
        return 0.0
    inner = slice(48, 464)
    moved = np.roll(other, (down, right), axis=(0, 1))
    return float(np.corrcoef(one[inner, inner].ravel(), moved[inner, inner].ravel())[0, 1])


def test_each_class_is_visible(patterns: dict[str, SyntheticSample]) -> None:
    for name, sample in patterns.items():
        green = pixels(sample, "green")
        assert np.percentile(green, 99.95) > 90, name
        assert np.percentile(green, 99.95) > 4 * green.mean() or green.mean() > 10, name


def share_within(sample: SyntheticSample, where: NDArray[np.bool_]) -> float:
    """The share of the green light on some pixels."""
    green = pixels(sample, "green")
    return float(green[where].sum() / green.sum())


def nuclear(sample: SyntheticSample) -> NDArray[np.bool_]:
    """A mask of the nuclei, including their dark nucleoli."""
    with Image.open(io.BytesIO(sample.pngs["blue"])) as image:
        closed = image.reduce(2).filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.MinFilter(7))
        blue = np.asarray(closed.resize((512, 512))).astype(np.int64)
    return np.asarray(blue > np.percentile(blue, 99) * 0.3)


@pytest.mark.parametrize(
    "name", ["Nucleoplasm", "Nucleoli", "Nucleoli fibrillar center", "Nuclear speckles", "Nuclear bodies", "Nuclear membrane"]
)
def test_nuclear_proteins_lie_in_nuclei(name: str, patterns: dict[str, SyntheticSample]) -> None:
    sample = patterns[name]
    assert share_within(sample, nuclear(sample)) > 2.5 * nuclear(sample).mean()
    assert bright_share(sample, nuclear(sample)) > 0.6


def bright_share(sample: SyntheticSample, where: NDArray[np.bool_]) -> float:
    """The share of the brightest thousandth of the green pixels that is within a mask."""
    green = pixels(sample, "green")
    return float(where[green >= np.percentile(green, 99.9)].mean())


@pytest.mark.parametrize(
    "name",
    [
        "Endoplasmic reticulum",
        "Golgi apparatus",
        "Peroxisomes",
        "Endosomes",
        "Lysosomes",
        "Intermediate filaments",
        "Microtubules",
        "Cytokinetic bridge",
        "Lipid droplets",
        "Plasma membrane",
        "Cell junctions",
        "Mitochondria",
        "Aggresome",
        "Cytosol",
        "Cytoplasmic bodies",
    ],
)
def test_other_proteins_lie_outside_of_nuclei(name: str, patterns: dict[str, SyntheticSample]) -> None:
    assert bright_share(patterns[name], nuclear(patterns[name])) < 0.1


def test_nucleoli_are_dark_in_blue(patterns: dict[str, SyntheticSample]) -> None:
    sample = patterns["Nucleoli"]
    green, blue = pixels(sample, "green"), pixels(sample, "blue")
    nucleoli = green >= np.percentile(green, 99.5)
    assert blue[nucleoli].mean() < 0.75 * blue[nuclear(sample) & ~nucleoli].mean()


def test_microtubules_and_spindles_are_those_of_the_red_filter(patterns: dict[str, SyntheticSample]) -> None:
    for name in ("Microtubules", "Mitotic spindle"):
        red, green = pixels(patterns[name], "red"), pixels(patterns[name], "green")
        bright = green >= np.percentile(green, 99.9)
        assert red[bright].mean() > 3 * red.mean(), name
    for other in ("Cytosol", "Nucleoplasm"):
        assert correlation(patterns[other]) < correlation(patterns["Microtubules"]) - 0.2


def correlation(sample: SyntheticSample) -> float:
    return float(np.corrcoef(pixels(sample, "red").ravel(), pixels(sample, "green").ravel())[0, 1])


def test_several_labels_are_all_visible() -> None:
    """A sample with two labels shows both: light in nuclei, and light around them."""
    both = (CLASS_NAMES.index("Nucleoplasm"), CLASS_NAMES.index("Mitochondria"))
    k = next(k for k in range(20_000) if sample_labels(0, k) == both)
    sample = render_sample(0, k)
    assert 0.15 < share_within(sample, nuclear(sample)) < 0.85


# Contact sheets.


def test_contact_sheets_hold_a_tile_for_each_sample(patterns: dict[str, SyntheticSample]) -> None:
    samples = [patterns[name] for name in CLASS_NAMES[:5]]
    with Image.open(io.BytesIO(contact_sheet(samples, CLASS_NAMES, columns=3, tile_px=64))) as page:
        assert page.mode == "RGB"
        assert page.width == 3 * 64 + 4 * 6
        assert page.height > 2 * 64
    with Image.open(io.BytesIO(contact_sheet(samples, CLASS_NAMES, columns=3, tile_px=64, filters=("green",)))) as page:
        tile = np.asarray(page)[6:70, 6:70]
        assert (tile[..., 0] == tile[..., 2]).all()


def test_contact_sheets_refuse_invalid_samples(patterns: dict[str, SyntheticSample]) -> None:
    with pytest.raises(ValueError, match="Received: 0 samples"):
        contact_sheet([], CLASS_NAMES)
    with pytest.raises(ValueError, match="columns=0"):
        contact_sheet([patterns["Cytosol"]], CLASS_NAMES, columns=0)
    with pytest.raises(ValueError, match=r"expected an index from 0 to 27\. Received: 28"):
        pattern_sample(0, 28)
