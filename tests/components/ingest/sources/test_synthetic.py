from pathlib import Path

import cv2
import numpy as np

from components import storage
from components.artifacts.index import read_index
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.ingest.raw import ingest_images
from components.ingest.sources.synthetic import Synthetic


def test_a_longer_series_starts_with_the_shorter_one() -> None:
    shorter, longer = Synthetic(5, series=1), Synthetic(9, series=1)
    assert longer.listed()[:5] == shorter.listed()
    assert len(longer.listed()) == 9
    assert shorter.name == longer.name
    assert shorter.validator() != longer.validator()


def test_another_series_is_another_source() -> None:
    assert Synthetic(5, series=1).name != Synthetic(5, series=2).name
    assert Synthetic(5, series=1).listed() != Synthetic(5, series=2).listed()


def test_a_series_is_ingested_and_grows(tmp_path: Path) -> None:
    classes = list(CLASS_NAMES)
    first = ingest_images(Synthetic(3, series=0), "synthetic:3", str(tmp_path), classes)
    second = ingest_images(Synthetic(4, series=0), "synthetic:4", str(tmp_path), classes)
    samples = read_index(second.index_uri)
    assert (first.num_samples, second.num_samples, second.num_bad, second.num_incomplete) == (3, 4, 0, 0)
    assert sorted(sample.batch for sample in samples) == [0, 0, 0, 1]
    assert {s.sample_id for s in samples if s.batch == 0} == {s.sample_id for s in read_index(first.index_uri)}
    for file in samples[0].files.values():
        data = storage.read_bytes(storage.join(second.images_uri, file.name))
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert (pixels.shape, pixels.dtype) == ((512, 512), np.uint8)
    assert tuple(samples[0].files) == FILTERS
