"""Samples to convert without a source: images, and rows of an index."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.artifacts.index import ImageFile, Sample
from components.artifacts.labels import FILTERS
from components.convert.shards.tasks import ShardTask, plan_shards

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]


@pytest.fixture
def make_samples(tmp_path: Path, make_pixels: MakePixels, make_png: MakePng) -> MakeSamples:
    """Stores some images and makes a number of samples from them in turn."""

    def make(num_samples: int, side_px: int = 96, images_uri: str = f"{tmp_path}/images") -> list[Sample]:
        files = []
        for seed in range(8):
            data = make_png(make_pixels(seed, side_px))
            storage.write_bytes(f"{images_uri}/{seed}.png", data)
            files.append(ImageFile(f"{seed}.png", len(data), storage.crc32c(data)))
        return [
            Sample(f"s{k:03d}", (k % 28,), 0, "", {name: files[(k + c) % 8] for c, name in enumerate(FILTERS)})
            for k in range(num_samples)
        ]

    return make


@pytest.fixture
def plan_tasks(tmp_path: Path) -> PlanTasks:
    """Plans the shards of samples: a quarter each for validation and test, or all for one split."""

    def plan(
        samples: Sequence[Sample],
        split: str = "",
        image_size_px: int = 75,
        filters: Sequence[str] = FILTERS[:3],
        root: str = str(tmp_path),
    ) -> list[ShardTask]:
        in_turns = ("train", "train", "validation", "test")
        split_of = {sample.sample_id: split or in_turns[k % 4] for k, sample in enumerate(samples)}
        return plan_shards(samples, split_of, filters, image_size_px, f"{root}/images", f"{root}/examples", seed=0)

    return plan
