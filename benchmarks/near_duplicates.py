"""Measures the accuracy and cost of finding near-duplicates, compared with simpler methods.

    python -m benchmarks.near_duplicates --samples 400 --seeds 4 --real-dir <folder of the competition's PNG files>

In a synthetic series, the near-duplicates are known: three in ten samples have one, in another exposure and usually also
shifted. Real samples are assumed to be unrelated, and changed in known ways. Flipped and transposed images count as further
unrelated samples, so that there are enough pairs to see the smallest distances.
"""

import argparse
import hashlib
import math
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from benchmarks.machine import describe_machine
from components.artifacts.labels import FILTERS, NUM_PUBLISHED_SAMPLES
from components.convert.split.near_duplicates import MAX_DISTANCE_BITS, group_samples, link_near_duplicates
from components.convert.split.perceptual_hash import HASH_BITS, HASHED_FILTERS, perceptual_hash
from components.synthetic.samples import render_sample

HASHED = FILTERS[:HASHED_FILTERS]
THRESHOLDS = (154, 192, MAX_DISTANCE_BITS, 269, 307)
BIN_BITS = 16
CROP_PX = 384
ALL_PAIRS = NUM_PUBLISHED_SAMPLES * (NUM_PUBLISHED_SAMPLES - 1) / 2

Pictures = list[np.ndarray]


@dataclass(frozen=True)
class Hashed:
    """A sample's group, and its hash by each method; `mirrored` are the hashes of the flipped and transposed images."""

    group: str
    mirrored: list[bytes]
    average: bytes
    cosine: bytes
    files: bytes


def average_hash(pictures: Pictures) -> bytes:
    """The simplest hash: which of 8 x 8 areas of the grey image are brighter than the mean. 64 bits."""
    small = cv2.resize(np.mean(pictures, axis=0), (8, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(small > small.mean()).tobytes()


def cosine_hash(pictures: Pictures) -> bytes:
    """The commonest hash, pHash (Zauner 2010): signs of 8 x 8 low frequencies of the cosine transform. 64 bits."""
    small = cv2.resize(np.mean(pictures, axis=0), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[1:9, 1:9]
    return np.packbits(low > np.median(low)).tobytes()


def mirror(pictures: Pictures) -> list[Pictures]:
    """The image unchanged, flipped and transposed. No two differ by a turn of 180 degrees, which would have the same hash."""
    ways: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda image: image,
        np.flipud,
        np.transpose,
        lambda image: np.flipud(image.T),
    ]
    return [[np.ascontiguousarray(way(image)) for image in pictures] for way in ways]


def decode(png: bytes) -> np.ndarray:
    """The pixels of a greyscale PNG file."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))


def hash_all_ways(group: str, pngs: Sequence[bytes]) -> Hashed:
    """Hashes a sample by every method."""
    pictures = [decode(png) for png in pngs]
    mirrored = [perceptual_hash(turned) for turned in mirror(pictures)]
    files = hashlib.sha256(b"".join(pngs)).digest()[:8]
    return Hashed(group, mirrored, average_hash(pictures), cosine_hash(pictures), files)


def hash_synthetic(seed: int, k: int) -> Hashed:
    """Renders and hashes sample `k` of a seed."""
    sample = render_sample(seed, k)
    return hash_all_ways(f"{seed}-{sample.group}", [sample.pngs[name] for name in HASHED])


def read_real(folder: Path) -> dict[str, list[bytes]]:
    """The PNG files of the hashed filters, by sample id."""
    ids = sorted(path.name.removesuffix("_red.png") for path in folder.glob("*_red.png"))
    return {name: [(folder / f"{name}_{colour}.png").read_bytes() for colour in HASHED] for name in ids}


def count_distances(hashes: Sequence[bytes], groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The number of pairs at each distance, within groups and across groups."""
    words = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1)
    numbers = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((2, words.shape[1] * 8 + 1), np.int64)
    for row in range(1, len(hashes)):
        distances = np.bitwise_count(words[:row] ^ words[row]).sum(axis=1, dtype=np.int64)
        same = numbers[:row] == numbers[row]
        counts += [np.bincount(distances[kind], minlength=counts.shape[1]) for kind in (same, ~same)]
    return counts[0], counts[1]


def moments(counts: np.ndarray) -> tuple[float, float]:
    """The mean and standard deviation of distances, from the number of pairs at each."""
    bits = np.arange(len(counts))
    mean = float(np.average(bits, weights=counts))
    return mean, float(np.average((bits - mean) ** 2, weights=counts)) ** 0.5


def print_accuracy(samples: Sequence[Hashed]) -> None:
    """Prints precision and recall of pairs, and the expected number of false pairs in the competition's data."""
    print(f"\n{len(samples)} synthetic samples; pairs across seeds are unrelated too.\n")
    print("| Way | bits that may differ | precision | recall | false pairs | estimated for 31072 samples |")
    print("|---|---:|---:|---:|---:|---:|")
    ways: list[tuple[str, Sequence[int], list[bytes]]] = [
        ("same files", [0], [sample.files for sample in samples]),
        ("average hash, 64 bits", [3, 5, 10], [sample.average for sample in samples]),
        ("cosine transform hash, 64 bits", [5, 10, 15], [sample.cosine for sample in samples]),
        (f"spectral hash, {HASH_BITS} bits", THRESHOLDS, [sample.mirrored[0] for sample in samples]),
    ]
    for name, thresholds, hashes in ways:
        siblings, others = count_distances(hashes, [sample.group for sample in samples])
        for threshold in thresholds:
            found, false = siblings[: threshold + 1].sum(), others[: threshold + 1].sum()
            precision = f"{found / (found + false):.4f}" if found + false else "-"
            estimate = false / others.sum() * ALL_PAIRS
            if threshold and not false:  # the tail of a normal distribution: see the histogram for the fit
                mean, deviation = moments(others)
                estimate = math.erfc((mean - threshold - 0.5) / deviation / math.sqrt(2)) / 2 * ALL_PAIRS
            chosen = "**" if len(hashes[0]) * 8 == HASH_BITS and threshold == MAX_DISTANCE_BITS else ""
            recall = f"{found / siblings.sum():.4f}"
            print(f"| {name} | {chosen}{threshold}{chosen} | {precision} | {recall} | {false} | {estimate:.1e} |")


def print_histogram(columns: dict[str, np.ndarray]) -> None:
    """Prints the number of pairs at each distance, and how many coin tosses would scatter as much."""
    print("\n| Bits that differ | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for low in range(0, HASH_BITS + 1, BIN_BITS):
        cells = [counts[low : low + BIN_BITS].sum() for counts in columns.values()]
        mark = " (threshold)" if low <= MAX_DISTANCE_BITS < low + BIN_BITS else ""
        if any(cells) or mark:
            print(f"| {low} to {low + BIN_BITS - 1}{mark} | " + " | ".join(str(cell or "") for cell in cells) + " |")
    lines: dict[str, list[str]] = {
        "pairs": [],
        "nearest": [],
        "farthest": [],
        "mean, standard deviation": [],
        "as many coin tosses": [],
    }
    for counts in columns.values():
        mean, deviation = moments(counts)
        share = mean / HASH_BITS  # and from it the independent bits, as in Daugman, "How Iris Recognition Works" (2004)
        lines["pairs"].append(str(counts.sum()))
        lines["nearest"].append(str(np.flatnonzero(counts)[0]))
        lines["farthest"].append(str(np.flatnonzero(counts)[-1]))
        lines["mean, standard deviation"].append(f"{mean:.1f}, {deviation:.1f}")
        lines["as many coin tosses"].append(f"{share * (1 - share) * (HASH_BITS / deviation) ** 2:.0f}")
    for name, cells in lines.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def crop(pictures: Pictures, side_px: int) -> Iterator[Pictures]:
    """Adjacent squares."""
    for top in range(0, pictures[0].shape[0] - side_px + 1, side_px):
        for left in range(0, pictures[0].shape[1] - side_px + 1, side_px):
            yield [np.ascontiguousarray(image[top : top + side_px, left : left + side_px]) for image in pictures]


def _shift(pixels: int, image: np.ndarray) -> np.ndarray:
    return image[:CROP_PX, pixels : pixels + CROP_PX]


def _expose(gain: float, image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 3, (CROP_PX, CROP_PX))
    return np.clip(np.minimum(_shift(0, image) * gain, 255) + noise, 0, 255).astype(np.uint8)


def _blur(deviation_px: float, image: np.ndarray) -> np.ndarray:
    return _shift(0, cv2.GaussianBlur(image, (0, 0), deviation_px))


def _warp(degrees: float, zoom: float, image: np.ndarray) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((CROP_PX / 2, CROP_PX / 2), degrees, zoom)
    return cv2.warpAffine(_shift(0, image), matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REFLECT_101)


def print_changes(samples: Sequence[Pictures]) -> None:
    """Prints the distances between real samples and their changed versions."""
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for pixels in (16, 32, 48, 64, 96):
        changes[f"shifted by {pixels / CROP_PX:.0%} of the width"] = partial(_shift, pixels)
    for gain in (0.33, 3.0):
        changes[f"{gain} times as bright, with noise"] = partial(_expose, gain)
    changes["blurred by 3 px"] = partial(_blur, 3)
    for degrees in (1, 2, 5):
        changes[f"turned by {degrees} degrees"] = partial(_warp, degrees, 1)
    for zoom in (1.02, 1.05, 1.1):
        changes[f"enlarged {zoom} times"] = partial(_warp, 0, zoom)
    print(f"\n{len(samples)} real samples beside themselves.\n\n| Change | median | farthest | found |\n|---|---:|---:|---:|")
    for name, change in changes.items():
        distances = []
        for pictures in samples:
            one = perceptual_hash([np.ascontiguousarray(_shift(0, image)) for image in pictures])
            other = perceptual_hash([np.ascontiguousarray(change(image)) for image in pictures])
            distances.append((int.from_bytes(one) ^ int.from_bytes(other)).bit_count())
        found = np.mean(np.array(distances) <= MAX_DISTANCE_BITS)
        print(f"| {name} | {median(distances):.0f} | {max(distances)} | {found:.1%} |")


def print_costs(pictures: Pictures, num_hashes: int) -> None:
    """Prints the time of hashing, and the time and memory of grouping hashes of which three in ten have a near-duplicate."""
    durations = []
    for _ in range(200):
        started_s = time.perf_counter()
        perceptual_hash(pictures)
        durations.append(time.perf_counter() - started_s)
    draws = random.Random(0)
    hashes: dict[str, bytes] = {}
    bits = 0
    for number in range(num_hashes):
        alone = draws.random() < 0.825
        bits = (
            draws.getrandbits(HASH_BITS)
            if alone or not number
            else bits ^ sum(1 << b for b in draws.sample(range(HASH_BITS), 60))
        )
        hashes[f"{draws.getrandbits(64):016x}"] = bits.to_bytes(HASH_BITS // 8)
    batches = dict.fromkeys(hashes, 0)
    started_s = time.perf_counter()
    groups = group_samples(hashes, link_near_duplicates(hashes, batches))
    seconds = time.perf_counter() - started_s
    tracemalloc.start()
    link_near_duplicates(hashes, batches)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    print(f"\nHashing: {1000 * median(durations):.2f} ms a sample of {pictures[0].shape[0]} px, on one core.")
    print(
        f"Grouping: {num_hashes} hashes to {len(set(groups.values()))} groups in {seconds:.1f} s on one core, "
        f"{peak_bytes / 1e6:.0f} MB beside the hashes."
    )


def main() -> None:
    """Renders, hashes, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--hashes", type=int, default=NUM_PUBLISHED_SAMPLES)
    parser.add_argument("--real-dir", type=Path)
    options = parser.parse_args()
    samples: list[Hashed] = []
    with ProcessPoolExecutor() as pool:
        for seed in range(options.seeds):
            samples += pool.map(partial(hash_synthetic, seed), range(options.samples), chunksize=20)
    print(f"{describe_machine()}.")
    print_accuracy(samples)
    groups = [sample.group for sample in samples]
    siblings, others = count_distances([sample.mirrored[0] for sample in samples], groups)
    columns = {"siblings": siblings, "unrelated": others}
    mirrored = [code for sample in samples for code in sample.mirrored]
    columns["unrelated, mirrored too"] = count_distances(mirrored, np.repeat(groups, 4).tolist())[1]
    if options.real_dir:
        real = [[decode(png) for png in pngs] for pngs in read_real(options.real_dir).values()]
        for title, side_px in (("real", real[0][0].shape[0]), ("real, a quarter wide", real[0][0].shape[0] // 4)):
            crops = [(perceptual_hash(part), str(k)) for k, pictures in enumerate(real) for part in crop(pictures, side_px)]
            columns[title] = count_distances(*zip(*crops, strict=True))[1]
    print_histogram(columns)
    if options.real_dir:
        print_changes(real)
    print_costs([decode(png) for png in render_sample(0, 0).pngs.values()], options.hashes)


if __name__ == "__main__":
    main()
