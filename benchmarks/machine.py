"""The description of the machine for all benchmarks, and the images for most of them."""

import os
import platform
from multiprocessing import Pool
from pathlib import Path

from components.synthetic.samples import SyntheticSample, render_sample


def describe_machine() -> str:
    """The processor and the number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {models[0] if models else platform.processor()}, Python {platform.python_version()}"


def make_images(folder: Path, num_samples: int, num_distinct: int) -> list[SyntheticSample]:
    """Renders some samples, and links them to `num_samples` names, in turn.

    Args:
        folder: The folder to create, for `<number>_<filter>.png`.
        num_samples: The number of names.
        num_distinct: The largest number of samples to render.

    Returns:
        The rendered samples: sample k is number k modulo their number.
    """
    with Pool() as pool:
        rendered = pool.map(_render, range(min(num_distinct, num_samples)))
    folder.mkdir()
    for number in range(num_samples):
        for name, png in rendered[number % len(rendered)].pngs.items():
            path = image_path(folder, number, name)
            if number < len(rendered):
                path.write_bytes(png)
            else:
                os.link(image_path(folder, number % len(rendered), name), path)
    return rendered


def image_path(folder: Path, number: int, filter_name: str) -> Path:
    """The path of an image from `make_images`."""
    return folder / f"{number:06d}_{filter_name}.png"


def _render(number: int) -> SyntheticSample:
    return render_sample(0, number)
