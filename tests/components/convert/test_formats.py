"""From files of other formats to examples."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.artifacts.examples import open_splits
from components.artifacts.image_names import ImageNames
from components.artifacts.manifest import Examples
from components.convert.examples import convert_images
from components.convert.settings import ConvertSettings
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from tests.components.images.tiffs import make_levels, make_ome_tiffs

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


@pytest.mark.parametrize(
    ("settings", "filters", "reason"),
    [
        (_SETTINGS, "red=tub,green=Ab,blue=dapi", r"a stack of 3 planes: give projection=max\|mean\|sum\|middle"),
        (replace(_SETTINGS, projection="mean"), "red=tub,green=Ab,blue=dapi", r"16-bit, .* such as intensity_range=0:4095"),
        (replace(_SETTINGS, projection="max", intensity_range="0:4095"), "red=actin,green=Ab,blue=dapi", "0 DAPI, 1 Tub, 2 Ab"),
    ],
)
def test_what_is_missing_is_asked_for(
    folder: Path, tmp_path: Path, settings: ConvertSettings, filters: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"12 of 12 samples cannot be used.* the red filter is .*{reason}"):
        _convert(folder, tmp_path, settings, filters)


def test_examples_of_an_earlier_version_are_found_again(folder: Path, tmp_path: Path) -> None:
    names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
    raw = ingest_images(Folder(str(folder), _CLASSES, image_names=names), "dir:cells", str(tmp_path), _CLASSES)
    raw = raw.model_copy(update={"fingerprint": "0123456789abcdef"})
    assert _SETTINGS.fingerprint(raw) == "0b7f7b461ffba0cb"
    given = [replace(_SETTINGS, intensity_range="0:4095"), replace(_SETTINGS, projection="max"), _SETTINGS]
    assert len({settings.fingerprint(raw) for settings in given}) == 3
