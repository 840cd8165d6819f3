"""Measures how fast convert reads large 16-bit files, compared with a plain process pool with the same libraries and checks.

    python -m benchmarks.convert_formats --samples 320 --repeats 2

Three stains of 2048 px with 12 bits of content: OME-TIFF files with all stains, with and without LZW compression, and PNG files
of one stain each. The images are enlarged synthetic cells with camera noise. They are in the page cache before the first run;
each variant runs in its own process, in turn.
"""

import argparse
import os
import statistics
import tempfile
from multiprocessing import Pool
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

from benchmarks.convert import Result, measure
from benchmarks.convert_ways import READINGS
from benchmarks.machine import describe_machine
from components import storage
from components.artifacts.index import ImageFile, Sample, dump_index
from components.artifacts.labels import FILTERS
from components.synthetic.samples import render_sample

_STAINS = FILTERS[:3]
_SIDE_PX = 2048
_NUM_DISTINCT = 12
_IMAGE_SIZE_PX = 299
_OFFSET, _GAIN, _NOISE = 100, 15, 12
_TITLES = {"png": "PNG, 16 bits", "ome-lzw": "OME-TIFF, 16 bits, LZW", "ome-none": "OME-TIFF, 16 bits, not compressed"}
_WAYS = ("random", "auto", "pool")


def make_source(folder: Path, form: str, num_samples: int) -> None:
    """Writes some samples, and links them to `num_samples` names."""
    (folder / "images").mkdir(parents=True)
    with Pool() as pool:
        written = pool.starmap(_write, [(folder / "images", form, number) for number in range(min(_NUM_DISTINCT, num_samples))])
    rows = []
    for number in range(num_samples):
        files = written[number % len(written)]
        linked = {}
        for stain, file in files.items():
            name = f"{number:04d}-{file.name}"
            path = folder / "images" / name
            if not path.exists():
                os.link(folder / "images" / file.name, path)
            linked[stain] = ImageFile(name, file.num_bytes, file.crc32c)
        rows.append(Sample(f"s{number:04d}", (number % 28,), 0, "", linked))
    (folder / "index.csv.gz").write_bytes(dump_index(rows))


def _write(folder: Path, form: str, number: int) -> dict[str, ImageFile]:
    pngs = render_sample(0, number).pngs
    noise = np.random.default_rng(number)
    planes = []
    for name in _STAINS:
        grey = cv2.imdecode(np.frombuffer(pngs[name], np.uint8), cv2.IMREAD_UNCHANGED)
        large = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC) * float(_GAIN) + _OFFSET
        planes.append(np.clip(large + noise.normal(0, _NOISE, large.shape), 0, 4095).astype(np.uint16))
    if form == "png":
        pairs = zip(_STAINS, planes, strict=True)
        return {name: _save(folder / f"{number}_{name}.png", bytes(imagecodecs.png_encode(plane))) for name, plane in pairs}
    path = folder / f"{number}.ome.tif"
    compression = None if form == "ome-none" else "lzw"
    predictor = form != "ome-none"
    tifffile.imwrite(path, np.stack(planes), ome=True, compression=compression, predictor=predictor, metadata={"axes": "CYX"})
    return dict.fromkeys(_STAINS, _save(path, path.read_bytes()))


def _save(path: Path, data: bytes) -> ImageFile:
    path.write_bytes(data)
    return ImageFile(path.name, len(data), storage.crc32c(data))


def _row(title: str, runs: list[Result], pool: list[Result], num_samples: int) -> str:
    rates = " | ".join(f"{num_samples / run.seconds:.1f}" for run in runs)
    share = statistics.median(other.seconds / run.seconds for run, other in zip(runs, pool, strict=True))
    memory = max(max(run.runner_mb, run.worker_mb) for run in runs)
    return f"| {title} | {rates} | {share:.2f} | {memory} |"


def main() -> None:
    """Runs all variants in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="the working folder, with space for 2 GB")
    options = parser.parse_args()
    print(f"\n{options.samples} samples of {_SIDE_PX} px, to {_IMAGE_SIZE_PX} px; {describe_machine()}.\n")
    columns = [*(f"samples/s, run {number + 1}" for number in range(options.repeats)), "of the pool", "MB a process"]
    print(f"| | {' | '.join(columns)} |")
    print("|---|" + "---:|" * len(columns), flush=True)
    for form in filter(None, READINGS):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            make_source(Path(name), form, options.samples)
            size = options.samples, _IMAGE_SIZE_PX, len(_STAINS)
            rounds = [{way: measure(way, name, *size, form) for way in _WAYS} for _ in range(options.repeats)]
        runs = {way: [one[way] for one in rounds] for way in _WAYS}
        for way, words in (("random", "given range"), ("auto", "auto"), ("pool", "pool")):
            print(_row(f"{_TITLES[form]}, {words}", runs[way], runs["pool"], options.samples), flush=True)


if __name__ == "__main__":
    main()
