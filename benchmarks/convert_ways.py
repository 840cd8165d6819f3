"""The ways to convert that `benchmarks.convert` compares, each in a process of its own: it prints how many seconds it took."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import joblib

from benchmarks import convert_pool
from components import storage
from components.artifacts.index import read_index
from components.artifacts.labels import FILTERS
from components.convert.conversion import split_unsplit, write_sides, write_unsplit
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import UNSPLIT, ShardTask, plan_shards
from components.convert.split.near_duplicates import link_near_duplicates
from components.convert.split.sides import split_fractions, split_samples

_FRACTIONS = split_fractions(0.1, 0.1)


@dataclass(frozen=True)
class Source:
    """Images to convert, in the folder `images` beside their index, and where the results belong: `examples`."""

    folder: str
    num_samples: int
    image_size_px: int
    filters: tuple[str, ...]

    def tasks(self, method: str) -> list[ShardTask]:
        """The shards of a random split; or unsplit ones."""
        samples = read_index(storage.join(self.folder, "index.csv.gz"))[: self.num_samples]
        labels = {sample.sample_id: sample.labels for sample in samples}
        sides = split_samples(labels, "random", _FRACTIONS, 0) if method == "random" else dict.fromkeys(labels, UNSPLIT)
        folders = storage.join(self.folder, "images"), storage.join(self.folder, "examples")
        return plan_shards(samples, sides, self.filters, self.image_size_px, *folders, 0)


def convert_random(tasks: Sequence[ShardTask]) -> None:
    """The step's job with split=random."""
    write_sides(tasks, Engine.named("local", ""))


def convert_grouped(tasks: Sequence[ShardTask]) -> None:
    """The step's jobs with split=grouped, and what decides the sides between them."""
    engine = Engine.named("local", "")
    samples = write_unsplit(tasks, engine)
    batches = dict.fromkeys((sample.sample_id for sample in samples), 0)
    links = link_near_duplicates({sample.sample_id: sample.perceptual_hash for sample in samples}, batches)
    labels = {sample.sample_id: sample.labels for sample in samples}
    split_unsplit(tasks, samples, split_samples(labels, "grouped", _FRACTIONS, 0, batches, links), engine)


def _pool(work: Callable[[ShardTask], int]) -> Callable[[Sequence[ShardTask]], object]:
    return lambda tasks: convert_pool.run_pool(work, tasks, joblib.cpu_count())


@dataclass(frozen=True)
class Way:
    """A way to do the work: what it is called, which shards it wants, and the function that is timed."""

    title: str
    method: str
    act: Callable[[Sequence[ShardTask]], object]


WAYS = {
    "random": Way("convert, split=random", "random", convert_random),
    "grouped": Way("convert, split=grouped", "grouped", convert_grouped),
    "pool": Way("pool with convert's codec", "random", _pool(convert_pool.write_shard_with_same_codec)),
    "pillow": Way("pool with Pillow", "random", _pool(convert_pool.write_shard_with_pillow)),
    "zlib": Way("pool that only inflates, zlib", "random", _pool(convert_pool.inflate_with_zlib)),
    "isal": Way("pool that only inflates, isal", "random", _pool(convert_pool.inflate_with_isal)),
}


def print_seconds(way: str, source: Source) -> None:
    """Does the work, and says how many seconds it took."""
    tasks = source.tasks(WAYS[way].method)
    started_s = time.perf_counter()
    WAYS[way].act(tasks)
    print(json.dumps(time.perf_counter() - started_s))


def main() -> None:
    """Does the work of one way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder")
    parser.add_argument("samples", type=int)
    parser.add_argument("image_size_px", type=int)
    parser.add_argument("channels", type=int)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print_seconds(options.way, Source(options.folder, options.samples, options.image_size_px, FILTERS[: options.channels]))


if __name__ == "__main__":
    main()
