import csv
import gzip
import io
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.examples import open_splits, read_column
from components.artifacts.image_names import ImageNames
from components.artifacts.index import read_index
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.artifacts.manifest import SAMPLES, Examples, RawImages
from components.convert.examples import convert_images
from components.convert.settings import DATA_REPORT, QUARANTINE, TRANSFORM_GRAPH, ConvertSettings
from components.convert.split.assignment import SPLITS, split_fractions, split_samples
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from components.ingest.sources.label_table import LabelTable
from tests.components.tf_examples import parse_example

MakeFolder = Callable[..., Path]
_SETTINGS = ConvertSettings(75, "rgb", "grouped", 0.2, 0.2, 0)


@dataclass(frozen=True)
class Converted:
    """A source of 30 samples, one with an invalid row and one without a filter, and its examples."""

    data_root: str
    raw: RawImages
    examples: Examples

    def records(self, split: str) -> list[dict[str, np.ndarray]]:
        files = tf.data.TFRecordDataset(self.examples.shard_uris(split))
        return list(files.map(lambda record: parse_example(record, (75, 75, 3), 28)).as_numpy_iterator())

    def published(self, name: str) -> bytes:
        return storage.read_bytes(self.examples.file_uri(name))


def _ingest(folder: Path, data_root: Path) -> RawImages:
    return ingest_images(Folder(str(folder), CLASS_NAMES), "dir:cells", str(data_root), list(CLASS_NAMES))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, make_folder: MakeFolder) -> Converted:
    folder = tmp_path_factory.mktemp("converted")
    targets = {f"s{k:02d}": str(k % 3) if k % 4 else f"{k % 3} 27" for k in range(30)}
    cells = make_folder(folder / "cells", targets | {"s05": "99"})
    (cells / "train" / "s07_blue.png").unlink()
    (cells / "train" / "s08_yellow.png").unlink()  # not requested
    raw = _ingest(cells, folder / "data")
    examples = convert_images(raw, str(folder / "data"), _SETTINGS, 0.1, "local", "")
    return Converted(str(folder / "data"), raw, examples)


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_every_good_sample_is_in_one_record_with_its_labels(converted: Converted) -> None:
    labels = {s.sample_id: s.labels for s in read_index(converted.raw.index_uri) if s.sample_id not in ("s05", "s07")}
    records = [record for split in SPLITS for record in converted.records(split)]
    assert {r["id"].decode(): tuple(np.flatnonzero(r["labels"]).tolist()) for r in records} == labels
    assert len(records) == 28


def test_the_manifest_counts_records_and_names_classes_and_channels(converted: Converted) -> None:
    examples = converted.examples
    assert {split: examples.num_records(split) for split in SPLITS} == {s: len(converted.records(s)) for s in SPLITS}
    assert examples.num_quarantined == 2
    assert examples.inputs == {"raw_images": converted.raw.fingerprint}
    assert examples.channels == ["red", "green", "blue"]
    assert examples.class_names == list(CLASS_NAMES)
    assert (examples.source, examples.licence) == (converted.raw.source, converted.raw.licence)
    for shards in examples.shards.values():
        for shard in shards:
            data = storage.read_bytes(storage.join(examples.uri, shard.name))
            assert (shard.num_bytes, shard.crc32c) == (len(data), storage.crc32c(data))


def test_examples_are_found_only_by_the_same_request(converted: Converted) -> None:
    assert _SETTINGS.find(converted.raw, converted.data_root) == converted.examples
    assert ConvertSettings(**vars(_SETTINGS)).fingerprint(converted.raw) == converted.examples.fingerprint
    others = [
        replace(_SETTINGS, image_size_px=76),
        replace(_SETTINGS, channels="rgby"),
        replace(_SETTINGS, split="random"),
        replace(_SETTINGS, validation_fraction=0.1),
        replace(_SETTINGS, test_fraction=0.1),
        replace(_SETTINGS, split_seed=1),
    ]
    assert [other.find(converted.raw, converted.data_root) for other in others] == [None] * len(others)
    assert _SETTINGS.find(converted.raw.model_copy(update={"fingerprint": "other"}), converted.data_root) is None


def test_the_quarantine_lists_each_sample_with_its_reason(converted: Converted) -> None:
    assert _rows(converted.published(QUARANTINE)) == [
        {
            "id": "s05",
            "reason": "Target names an unknown class: expected indices from 0 to 27. Received: '99'. "
            "For classes of your own, give the parameter classes (train.csv, line 7)",
        },
        {"id": "s07", "reason": "the blue filter is missing"},
    ]


def test_the_table_of_samples_gives_the_place_and_statistics_of_each(converted: Converted) -> None:
    rows = {row["id"]: row for row in _rows(gzip.decompress(converted.published(SAMPLES)))}
    assert len(rows) == 28
    for split in SPLITS:
        for record in converted.records(split):
            row = rows[record["id"].decode()]
            assert row["split"] == split
            assert row["shard"] in [shard.name for shard in converted.examples.shards[split]]
            shard = Path(converted.examples.uri, row["shard"]).read_bytes()[int(row["offset"]) :]
            example = shard[12 : 12 + struct.unpack("<Q", shard[:8])[0]]
            np.testing.assert_array_equal(parse_example(tf.constant(example), (75, 75, 3), 28)["pixels"], record["pixels"])
            assert row["labels"] == " ".join(map(str, np.flatnonzero(record["labels"])))
            pixels = record["pixels"].astype(float)
            np.testing.assert_allclose(
                [float(row[f"mean_{name}"]) for name in ("red", "green", "blue")], pixels.mean(axis=(0, 1))
            )
            np.testing.assert_allclose(
                [float(row[f"mean_square_{name}"]) for name in ("red", "green", "blue")], (pixels**2).mean(axis=(0, 1))
            )


def test_the_transform_graph_holds_the_statistics_of_the_training_records(converted: Converted) -> None:
    graph = tf.saved_model.load(f"{converted.examples.file_uri(TRANSFORM_GRAPH)}/transform_fn")
    given = {
        "mean": tf.zeros((2, 3)),
        "mean_square": tf.zeros((2, 3)),
        "labels": tf.sparse.from_dense(tf.constant([[4, 27], [1, 0]], tf.int64)),
    }
    learned = graph.transform_fn(given)
    records = converted.records("train")
    pixels = np.stack([record["pixels"] for record in records]).astype(np.float64)
    np.testing.assert_allclose(learned["channel_mean"][0], pixels.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(learned["channel_std"][0], pixels.std(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_array_equal(learned["class_counts"][0], sum(record["labels"] for record in records))
    np.testing.assert_array_equal(np.flatnonzero(learned["labels"][0]), [4, 27])


def test_the_data_report_shows_counts_images_and_samples_left_out(converted: Converted) -> None:
    page = converted.published(DATA_REPORT).decode()
    counts = {split: len(converted.records(split)) for split in SPLITS}
    assert f"28 samples from dir:cells ({', '.join(f'{counts[split]} {split}' for split in SPLITS)}; " in page
    assert page.count("<figure") > 10
    assert "the blue filter is missing" in page
    assert "Rods &amp; rings" in page
    assert converted.raw.licence in page


def test_groups_of_the_table_and_near_duplicates_stay_in_one_split(tmp_path: Path, make_folder: MakeFolder) -> None:
    plates = {f"s{k:02d}": f"P{k // 4}" for k in range(24)} | {"s24": "", "s25": ""}
    cells = make_folder(tmp_path / "cells", dict.fromkeys(plates, "0"))
    (cells / "train" / "s01_blue.png").unlink()  # a bad sample between two others of its plate
    for name in FILTERS:  # near-duplicates: one on a plate, and one without a plate
        (cells / "train" / f"s24_{name}.png").write_bytes((cells / "train" / f"s09_{name}.png").read_bytes())
    rows = "".join(f"{name},0,{plate},note {name}\n" for name, plate in plates.items())
    (cells / "train.csv").write_text(f"Id,Target,Plate,Note\n{rows}")
    source = Folder(str(cells), CLASS_NAMES, table=LabelTable(group_column="Plate"))
    raw = ingest_images(source, "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    examples = convert_images(raw, str(tmp_path / "data"), _SETTINGS, 0.1, "local", "")
    split_of, groups = read_column(examples, "split"), read_column(examples, "group")
    for plate in set(plates.values()) - {""}:
        members = [name for name in split_of if plates[name] == plate]
        assert len({split_of[name] for name in members}) == len({groups[name] for name in members}) == 1
    assert (groups["s24"], split_of["s24"]) == (groups["s08"], split_of["s08"])
    assert groups["s25"] == "s25"
    assert len(set(groups.values())) == 7
    assert read_column(examples, "column:Note") == {name: f"note {name}" for name in split_of}
    page = storage.read_bytes(examples.file_uri(DATA_REPORT)).decode()
    assert "23 images are in 6 groups of the table (group_column), each within one split." in page
    with pytest.raises(ValueError, match="split=random does not keep groups together: give split=grouped"):
        convert_images(raw, str(tmp_path / "data"), replace(_SETTINGS, split="random"), 0.1, "local", "")


def test_too_many_bad_samples_stop_with_the_three_most_common_reasons(tmp_path: Path, make_folder: MakeFolder) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k:02d}": str(k % 2) for k in range(20)})
    for number, name in enumerate(["red"] * 4 + ["green"] * 3 + ["blue"] * 2):
        (cells / "train" / f"s{number:02d}_{name}.png").unlink()
    for name in ("red", "green", "blue"):
        (cells / "train" / f"s10_{name}.png").write_bytes((cells / "train" / "s11_red.png").read_bytes()[:60])
    raw = _ingest(cells, tmp_path / "data")
    with pytest.raises(ValueError, match="cannot be used") as raised:
        convert_images(raw, str(tmp_path / "data"), _SETTINGS, 0.4, "local", "")
    assert str(raised.value) == (
        "10 of 20 samples cannot be used, and max_bad_fraction=0.4 allows 8. The most common reasons: "
        "4 x the red filter is missing: s00 and others; 3 x the green filter is missing: s04 and others; "
        "2 x the blue filter is missing: s07 and others"
    )
    assert _SETTINGS.find(raw, str(tmp_path / "data")) is None


def test_too_many_bad_rows_stop_before_any_image_is_decoded(tmp_path: Path, make_folder: MakeFolder) -> None:
    cells = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "99", "d": "", "e": ""}, filters=("green",))
    raw = _ingest(cells, tmp_path / "data")
    counted = r"2 x Target is empty: .* \(train\.csv, line 5\): d and others; 1 x .*: c$"
    with pytest.raises(ValueError, match=rf"^3 of 5 samples cannot be used, .* allows 1\. .* {counted}"):
        convert_images(raw, str(tmp_path / "data"), _SETTINGS, 0.0, "local", "")
    assert not (tmp_path / "data" / "examples").exists()


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_a_source_with_only_bad_images_is_refused(tmp_path: Path, make_folder: MakeFolder, split: str) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k}": "0" for k in range(6)}, filters=("green",))
    raw = _ingest(cells, tmp_path / "data")
    with pytest.raises(
        ValueError,
        match=r"None of the 6 samples can be used\. The most common reason: 6 x the red filter is missing: s\d and others",
    ):
        convert_images(raw, str(tmp_path / "data"), replace(_SETTINGS, split=split), 1.0, "local", "")


def test_a_split_with_only_bad_images_is_refused(tmp_path: Path, make_folder: MakeFolder) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k}": "0" for k in range(6)})
    raw = _ingest(cells, tmp_path / "data")
    settings = replace(_SETTINGS, split="random")
    fractions = split_fractions(settings.validation_fraction, settings.test_fraction)
    split_of = split_samples(dict.fromkeys((f"s{k}" for k in range(6)), (0,)), "random", fractions, settings.split_seed)
    for sample_id, side in split_of.items():
        if side == "test":
            (cells / "train" / f"{sample_id}_blue.png").unlink()
    raw = _ingest(cells, tmp_path / "data")
    with pytest.raises(ValueError, match="No sample of the test split can be used"):
        convert_images(raw, str(tmp_path / "data"), settings, 1.0, "local", "")


def test_near_duplicates_are_in_one_split_unless_it_is_random(tmp_path: Path, make_folder: MakeFolder) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k:02d}": str(k % 3) for k in range(24)})
    for k in range(0, 24, 2):  # each second sample is a slightly darker copy of the previous one
        for name in FILTERS:
            pixels = cv2.imread(str(cells / "train" / f"s{k:02d}_{name}.png"), cv2.IMREAD_GRAYSCALE)
            cv2.imwrite(str(cells / "train" / f"s{k + 1:02d}_{name}.png"), pixels - pixels // 8)
    raw = _ingest(cells, tmp_path / "data")
    together = {}
    for split in ("grouped", "random"):
        examples = convert_images(raw, str(tmp_path / "data"), replace(_SETTINGS, split=split), 0.0, "local", "")
        split_of = {row["id"]: row["split"] for row in _rows(gzip.decompress(storage.read_bytes(examples.file_uri(SAMPLES))))}
        together[split] = sum(split_of[f"s{k:02d}"] == split_of[f"s{k + 1:02d}"] for k in range(0, 24, 2))
        assert len(split_of) == 24
        with open_splits(examples, SPLITS) as readers:
            assert {sample_id: side for side, reader in readers.items() for sample_id in reader.ids} == split_of
        groups = read_column(examples, "group")
        assert groups == {f"s{k:02d}": f"s{k - k % 2:02d}" for k in range(24)}
        assert set(storage.list_names(examples.uri)) == {
            "manifest.json",
            "parts",
            f"attempt-{examples.attempt}",
            *(shard.name for shards in examples.shards.values() for shard in shards),
        }
    assert together["grouped"] == 12 > together["random"]


def test_an_unknown_runner_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    counts = dict.fromkeys(("num_samples", "num_bad", "num_incomplete", "num_without_files", "num_bytes"), 0)
    names = {"fingerprint": "f", "inputs": {}, "parameters": {}, "source": "dir:x", "licence": "", "class_names": ["a"]}
    raw = RawImages(**names, **counts, uri=str(tmp_path), index_name="missing.csv.gz", version=0)
    with pytest.raises(ValueError, match="beam_runner: expected one of local, DataflowRunner"):
        convert_images(raw, str(tmp_path), _SETTINGS, 0.0, "DatafloRunner", "")


def test_the_papers_split_with_yellow_has_no_test_samples(tmp_path: Path, make_folder: MakeFolder) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k}": str(k % 2) for k in range(10)})
    raw = _ingest(cells, tmp_path / "data")
    settings = ConvertSettings(80, "rgby", "random", 0.2, 0.0, 0)
    examples = convert_images(raw, str(tmp_path / "data"), settings, 0.0, "local", "")
    assert Counter({split: examples.num_records(split) for split in SPLITS}) == {"train": 8, "validation": 2, "test": 0}
    assert examples.channels == ["red", "green", "blue", "yellow"]
    (record,) = tf.data.TFRecordDataset(examples.shard_uris("train")).take(1)
    assert parse_example(record, (80, 80, 4), 28)["pixels"].shape == (80, 80, 4)


@pytest.mark.parametrize("stains", [("DNA",), ("DNA", "alpha tubulin"), ("DNA", "ER", "RNA", "actin", "mito")])
def test_other_stains_become_channels_in_the_given_order(
    tmp_path: Path, make_folder: MakeFolder, stains: tuple[str, ...]
) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k:02d}": str(k % 3) for k in range(30)}, filters=stains)
    source = Folder(str(cells), CLASS_NAMES, image_names=ImageNames(stains=stains))
    raw = ingest_images(source, "dir:cells", str(tmp_path), list(CLASS_NAMES))
    assert [tuple(sample.files) for sample in read_index(raw.index_uri)] == [stains] * 30
    examples = convert_images(raw, str(tmp_path), replace(_SETTINGS, channels=",".join(stains)), 0.1, "local", "")
    assert examples.channels == list(stains)
    assert examples.num_quarantined == 0
    (first, *_) = _rows(gzip.decompress(storage.read_bytes(examples.file_uri(SAMPLES))))
    assert {f"mean_{name}" for name in stains} <= first.keys()
