"""Conversion of files in other formats."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.artifacts.examples import open_splits, read_widths_um
from components.artifacts.image_names import ImageNames
from components.artifacts.manifest import Examples
from components.artifacts.parameters import parse_intensity_range
from components.convert.examples import convert_images
from components.convert.settings import ConvertSettings
from components.convert.shards import writer
from components.images.auto_range import common_range, spanned_levels
from components.images.grey_levels import to_8_bits
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from tests.components.images.tiffs import OME_CHANNELS, make_levels, make_ome_tiffs, make_tiff

_SETTINGS = ConvertSettings(75, "rgb", "grouped", 0.2, 0.2, 0)
_CLASSES = ["x", "y"]
_NUM_SAMPLES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OME-TIFF files of four channels and three planes of 16 bits, with the channels in two orders."""
    targets = {f"s{number:02d}": str(number % 2) for number in range(_NUM_SAMPLES)}
    return make_ome_tiffs(tmp_path_factory.mktemp("formats") / "cells", targets, num_planes=3)


def _convert(folder: Path, data_root: Path, settings: ConvertSettings, filters: str = "red=tub,green=Ab,blue=dapi") -> Examples:
    source = Folder(str(folder), _CLASSES, image_names=ImageNames("{id}.ome.tif", filters))
    raw = ingest_images(source, "dir:cells", str(data_root), _CLASSES)
    return convert_images(raw, str(data_root), settings, 0.01, "local", "")


def test_channels_of_one_file_are_found_projected_scaled_and_resized(folder: Path, tmp_path: Path) -> None:
    examples = _convert(folder, tmp_path, replace(_SETTINGS, intensity_range="0:4095", projection="max"))
    assert (examples.intensity_range, examples.projection, examples.pixel_size_um) == ("0:4095", "max", 0.08)
    assert read_widths_um(examples) == {f"s{number:02d}": pytest.approx(96 * 0.08) for number in range(_NUM_SAMPLES)}
    num_found = 0
    with open_splits(examples, list(examples.shards)) as splits:
        for split in splits.values():
            for number, sample_id in enumerate(split.ids):
                levels = make_levels(int(sample_id[1:]), num_planes=3).max(axis=1)
                scaled = np.floor(levels.astype(float) * 255 / 4095 + 0.5).astype(np.uint8)
                for channel, plane in enumerate((1, 2, 0)):  # Tub, Ab and DAPI
                    expected = cv2.resize(scaled[plane], (75, 75), interpolation=cv2.INTER_AREA)
                    np.testing.assert_array_equal(split.pixels(number)[..., channel], expected)
                num_found += 1
    assert num_found == _NUM_SAMPLES


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_an_automatic_range_is_measured_on_the_training_split_of_each_stain(
    tmp_path: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = {f"s{number:02d}": str(number % 2) for number in range(_NUM_SAMPLES)}
    folder = make_ome_tiffs(tmp_path / "cells", targets)
    gains = {"Tub": 1, "Ab": 4, "DAPI": 0.5}
    for number, sample_id in enumerate(targets):
        planes = [_levels(number, channel, gain) for channel, gain in gains.items()]
        metadata = {"axes": "CYX", "Channel": {"Name": list(gains)}}
        (folder / f"{sample_id}.ome.tif").write_bytes(make_tiff(np.stack(planes), ome=True, metadata=metadata))
    settings = replace(_SETTINGS, intensity_range="auto", split=split)
    examples = _convert(folder, tmp_path, settings)
    ranges = parse_intensity_range(examples.intensity_range)
    with open_splits(examples, list(examples.shards)) as splits:
        training = splits["train"].ids
        for side in splits.values():
            for number, sample_id in enumerate(side.ids):
                for channel, (name, gain) in enumerate(gains.items()):
                    scaled = to_8_bits(_levels(int(sample_id[1:]), name, gain), ranges[channel])
                    expected = cv2.resize(scaled, (75, 75), interpolation=cv2.INTER_AREA)
                    np.testing.assert_array_equal(side.pixels(number)[..., channel], expected)
    spans = [[spanned_levels(_levels(int(i[1:]), name, gain)) for name, gain in gains.items()] for i in training]
    assert examples.intensity_range == common_range(spans)
    assert [round(high / 4095, 1) for _, high in ranges] == [1, 4.2, 0.5]
    assert examples.parameters["intensity_range"] == "auto"

    # A run after a kill before publishing measures and writes nothing again.
    (tmp_path / "examples" / examples.fingerprint / "manifest.json").unlink()
    monkeypatch.setattr(writer, "measure_sample", None)
    monkeypatch.setattr(writer, "decode_sample", None)
    again = _convert(folder, tmp_path, settings)
    assert (again.intensity_range, again.shards) == (examples.intensity_range, examples.shards)


def _levels(seed: int, channel: str, gain: float) -> np.ndarray:
    return (make_levels(seed)[OME_CHANNELS.index(channel), 0] * gain).astype(np.uint16)


@pytest.mark.parametrize(
    ("settings", "filters", "reason"),
    [
        (_SETTINGS, "red=tub,green=Ab,blue=dapi", r"a stack of 3 planes: give projection=max\|mean\|sum\|middle"),
        (replace(_SETTINGS, projection="mean"), "red=tub,green=Ab,blue=dapi", r"16-bit, .* such as intensity_range=0:4095"),
        (replace(_SETTINGS, projection="max", intensity_range="0:4095"), "red=actin,green=Ab,blue=dapi", "0 DAPI, 1 Tub, 2 Ab"),
    ],
)
def test_errors_ask_for_the_missing_parameter(
    folder: Path, tmp_path: Path, settings: ConvertSettings, filters: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"12 of 12 samples cannot be used.* the red filter is .*{reason}"):
        _convert(folder, tmp_path, settings, filters)


def test_examples_of_an_earlier_release_are_reused(folder: Path, tmp_path: Path) -> None:
    names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
    raw = ingest_images(Folder(str(folder), _CLASSES, image_names=names), "dir:cells", str(tmp_path), _CLASSES)
    raw = raw.model_copy(update={"fingerprint": "0123456789abcdef"})
    assert _SETTINGS.fingerprint(raw) == "0b7f7b461ffba0cb"
    given = [replace(_SETTINGS, **change) for change in ({}, {"intensity_range": "0:4095"}, {"intensity_range": "auto"})]
    assert len({settings.fingerprint(raw) for settings in [*given, replace(_SETTINGS, projection="max")]}) == 4
