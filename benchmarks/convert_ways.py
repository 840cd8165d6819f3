"""The variants of converting that `benchmarks.convert` compares. Each runs in its own process and prints its seconds."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import joblib

from benchmarks import convert_pool
from components import storage
from components.artifacts.index import read_index
from components.artifacts.labels import FILTERS
from components.artifacts.parameters import AUTO_RANGE
from components.convert.conversion import measure_samples, split_unsplit, write_splits, write_unsplit
from components.convert.settings import UNSPLIT
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import MEASURED, ShardTask, plan_shards
from components.convert.split.assignment import split_fractions, split_samples
from components.convert.split.near_duplicates import link_near_duplicates
from components.images.auto_range import common_range
from components.images.decode import DEFAULT_READING, Reading

_FRACTIONS = split_fractions(0.1, 0.1)
# How the files of `benchmarks.convert_formats` are read.
_STAINS = FILTERS[:3]
_PNG = Reading(intensity_range="0:4095", stains=_STAINS)
_OME = replace(_PNG, channels=tuple((name, str(position)) for position, name in enumerate(_STAINS)))
READINGS = {"": DEFAULT_READING, "png": _PNG, "ome-lzw": _OME, "ome-none": _OME}


@dataclass(frozen=True)
class Source:
    """A folder with images to convert in `images`, beside their index. Results go to `examples`.

    `form` is the format of the files, a key of READINGS.
    """

    folder: str
    num_samples: int
    image_size_px: int
    filters: tuple[str, ...]
    form: str = ""

    def tasks(self, method: str) -> list[ShardTask]:
        """The shards of a random split, unsplit ones, or ones that are only measured."""
        samples = read_index(storage.join(self.folder, "index.csv.gz"))[: self.num_samples]
        labels = {sample.sample_id: sample.labels for sample in samples}
        split_of = split_samples(labels, "random", _FRACTIONS, 0) if method == "random" else dict.fromkeys(labels, method)
        folders = storage.join(self.folder, "images"), storage.join(self.folder, "examples")
        return plan_shards(samples, split_of, self.filters, self.image_size_px, *folders, 0, READINGS[self.form])


def convert_random(tasks: Sequence[ShardTask]) -> None:
    """The step's job with split=random."""
    write_splits(tasks, Engine.named("local", ""))


def convert_grouped(tasks: Sequence[ShardTask]) -> None:
    """The step's jobs with split=grouped, and the split that is computed between them."""
    engine = Engine.named("local", "")
    samples = write_unsplit(tasks, engine)
    batches = dict.fromkeys((sample.sample_id for sample in samples), 0)
    links = link_near_duplicates({sample.sample_id: sample.perceptual_hash for sample in samples}, batches)
    labels = {sample.sample_id: sample.labels for sample in samples}
    split_unsplit(tasks, samples, split_samples(labels, "grouped", _FRACTIONS, 0, batches, links), engine)


def convert_auto(tasks: Sequence[ShardTask]) -> None:
    """The step's jobs with split=random and intensity_range=auto."""
    engine = Engine.named("local", "")
    measured = measure_samples(tasks, engine)
    samples = [sample for task in tasks for sample in task.samples]
    split_of = split_samples({sample.sample_id: sample.labels for sample in samples}, "random", _FRACTIONS, 0)
    spans = [sample.levels for sample in measured if split_of[sample.sample_id] == "train"]
    first = tasks[0]
    reading = replace(first.reading, intensity_range=common_range(spans))
    folders = first.images_uri, first.examples_uri
    write_splits(plan_shards(samples, split_of, first.filters, first.image_size_px, *folders, 0, reading), engine)


def _pool(work: Callable[[ShardTask], int]) -> Callable[[Sequence[ShardTask]], object]:
    return lambda tasks: convert_pool.run_pool(work, tasks, joblib.cpu_count())


@dataclass(frozen=True)
class Way:
    """A variant: its title, the kind of shards that it takes, and the function to time."""

    title: str
    method: str
    act: Callable[[Sequence[ShardTask]], object]


WAYS = {
    "random": Way("convert, split=random", "random", convert_random),
    "grouped": Way("convert, split=grouped", UNSPLIT, convert_grouped),
    "pool": Way("pool with convert's codec", "random", _pool(convert_pool.write_shard_with_same_codec)),
    "pillow": Way("pool with Pillow", "random", _pool(convert_pool.write_shard_with_pillow)),
    "zlib": Way("pool that only inflates, zlib", "random", _pool(convert_pool.inflate_with_zlib)),
    "isal": Way("pool that only inflates, isal", "random", _pool(convert_pool.inflate_with_isal)),
}

AUTO = Way(f"convert, intensity_range={AUTO_RANGE}", MEASURED, convert_auto)


def print_seconds(way: str, source: Source) -> None:
    """Does the work, and prints its seconds."""
    chosen = AUTO if way == AUTO_RANGE else WAYS[way]
    tasks = source.tasks(chosen.method)
    started_s = time.perf_counter()
    chosen.act(tasks)
    print(json.dumps(time.perf_counter() - started_s))


def main() -> None:
    """Runs one variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=(*WAYS, AUTO_RANGE))
    parser.add_argument("folder")
    parser.add_argument("samples", type=int)
    parser.add_argument("image_size_px", type=int)
    parser.add_argument("channels", type=int)
    parser.add_argument("--form", choices=READINGS, default="")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    filters = FILTERS[: options.channels]
    print_seconds(options.way, Source(options.folder, options.samples, options.image_size_px, filters, options.form))


if __name__ == "__main__":
    main()
