import importlib.util
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from components import storage
from components.artifacts.image_names import ImageNames
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.images.decode import Reading, sample_pixels
from components.images.grey_levels import to_8_bits
from components.images.image import BadImageError
from components.images.image_files import list_images, read_image_file
from components.images.reader import read_image
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from components.preview.prepare import labelled, prepare, unlabelled
from components.preview.preview import preview
from components.storage.store import StoredFile
from tests.components.images.ome_zarrs import make_ome_zarr
from tests.components.images.tiffs import OME_CHANNELS, make_levels

NAMES = ImageNames("{id}.ome.zarr", "red=Tub,green=Ab,blue=DAPI")
READING = Reading(tuple(NAMES.channels.items()), "0:4095", stains=FILTERS)
HAS_READER = importlib.util.find_spec("bioio_ome_zarr") is not None


def _make_scans(folder: Path, *names: str) -> Path:
    """A folder with train.csv and OME-Zarr images of four channels."""
    for number, name in enumerate(names):
        make_ome_zarr(folder / f"{name}.ome.zarr", make_levels(number)[:, 0], OME_CHANNELS)
    (folder / "train.csv").write_text("Id,Target\n" + "".join(f"{name},0\n" for name in names))
    return folder


def _unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class TestListing:
    def test_an_ome_zarr_folder_is_one_file_of_the_size_of_its_files(self, tmp_path: Path) -> None:
        make_ome_zarr(tmp_path / "plate" / "A01.OME.ZARR", make_levels(0)[:, 0], OME_CHANNELS)
        (tmp_path / "b.zarr.png").write_bytes(b"12")
        found = list_images(str(tmp_path))
        files = [path for path in (tmp_path / "plate").rglob("*") if path.is_file()]
        assert found == {"b.zarr.png": StoredFile(2), "plate/A01.OME.ZARR": StoredFile(sum(f.stat().st_size for f in files))}

    def test_its_version_changes_with_any_file(self, tmp_path: Path) -> None:
        image = make_ome_zarr(tmp_path / "a.zarr", make_levels(0)[:, 0], OME_CHANNELS)
        versions = {list_images(str(tmp_path))["a.zarr"].version}
        assert {list_images(str(tmp_path))["a.zarr"].version} == versions
        (image / "0" / "0.0.0").write_bytes(make_levels(1)[:, 0].tobytes())
        versions.add(list_images(str(tmp_path))["a.zarr"].version)
        (image / ".zgroup").rename(image / "zgroup")
        versions.add(list_images(str(tmp_path))["a.zarr"].version)
        assert len(versions) == 3


class TestReading:
    def test_the_same_folder_is_packed_to_the_same_bytes_also_in_a_bucket(self, tmp_path: Path, bucket_root: str) -> None:
        image = make_ome_zarr(tmp_path / "a.zarr", make_levels(0)[:, 0], OME_CHANNELS)
        packed = read_image_file(str(image))
        assert _unpack(packed) == {name: (image / name).read_bytes() for name in (".zattrs", ".zgroup", "0/.zarray", "0/0.0.0")}
        storage.create_tree(tmp_path, bucket_root)
        assert list_images(bucket_root) == list_images(str(tmp_path))
        assert read_image_file(f"{bucket_root}/a.zarr") == packed

    def test_the_only_image_of_bioformats2raw_is_that_image(self, tmp_path: Path) -> None:
        make_ome_zarr(tmp_path / "a.zarr" / "0", make_levels(0)[:, 0], OME_CHANNELS)
        (tmp_path / "a.zarr" / "OME").mkdir()
        (tmp_path / "a.zarr" / "OME" / "METADATA.ome.xml").touch()
        alone = make_ome_zarr(tmp_path / "alone.zarr", make_levels(0)[:, 0], OME_CHANNELS)
        assert read_image_file(str(tmp_path / "a.zarr")) == read_image_file(str(alone))
        (tmp_path / "a.zarr" / "1").mkdir()
        (tmp_path / "a.zarr" / "1" / ".zattrs").touch()
        assert "OME/METADATA.ome.xml" in _unpack(read_image_file(str(tmp_path / "a.zarr")))

    @pytest.mark.skipif(HAS_READER, reason="the reader is installed")
    def test_a_run_without_a_reader_names_it_its_licence_and_the_alternative(self, tmp_path: Path) -> None:
        source = Folder(str(_make_scans(tmp_path / "scans", "a")), CLASS_NAMES, image_names=NAMES)
        advice = (
            r"an OME-Zarr file, which needs a reader that is not installed: pip install bioio bioio-ome-zarr "
            r"\(licence: BSD-3-Clause\), or convert it to OME-TIFF"
        )
        with pytest.raises(ValueError, match=advice):
            preview(source, CLASS_NAMES, by_class=False)
        with pytest.raises(ValueError, match=advice):
            prepare(unlabelled(source.uri, NAMES), tmp_path / "out", READING)
        assert ingest_images(source, "dir", str(tmp_path / "data"), list(CLASS_NAMES)).num_bad == 1


@pytest.mark.slow
@pytest.mark.skipif(not HAS_READER, reason="needs a reader: pip install bioio bioio-ome-zarr")
@pytest.mark.filterwarnings("default")
class TestReader:
    """The reader that a user installs, which is in no lock file."""

    def test_channels_and_pixel_size_are_those_of_the_file(self, tmp_path: Path) -> None:
        levels = make_levels(0)
        image = read_image(read_image_file(str(make_ome_zarr(tmp_path / "a.zarr", levels[:, 0], OME_CHANNELS))))
        assert (image.kind, image.channel_names, image.num_planes) == ("16-bit OME-Zarr", OME_CHANNELS, 1)
        assert image.pixel_size_um == pytest.approx(0.08)
        for channel, planes in enumerate(levels):
            np.testing.assert_array_equal(image.plane(channel, 0), planes[0])

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_compressed_stacks_in_many_chunks_are_read_in_full_resolution(self, tmp_path: Path, zarr_format: int) -> None:
        from bioio_ome_zarr.writers import Channel, OMEZarrWriter  # noqa: PLC0415 (not installed by default)

        levels = make_levels(0, num_planes=3)
        OMEZarrWriter(
            str(tmp_path / "a.zarr"),
            dtype=levels.dtype,
            level_shapes=[levels.shape, (*levels.shape[:2], 48, 48)],
            chunk_shape=(1, 1, 32, 32),
            zarr_format=zarr_format,
            channels=[Channel(label=name, color="FF0000") for name in OME_CHANNELS],
            axes_names=["c", "z", "y", "x"],
            axes_types=["channel", "space", "space", "space"],
            axes_units=[None, "micrometer", "micrometer", "micrometer"],
            physical_pixel_size=[1, 0.5, 0.1, 0.1],
        ).write_full_volume(levels)
        image = read_image(read_image_file(str(tmp_path / "a.zarr")))
        assert (image.channel_names, image.num_planes, image.pixel_size_um) == (OME_CHANNELS, 3, pytest.approx(0.1))
        np.testing.assert_array_equal(image.plane(2, 1), levels[2, 1])

    def test_a_pixel_size_without_a_unit_is_unknown(self, tmp_path: Path) -> None:
        folder = make_ome_zarr(tmp_path / "a.zarr", make_levels(0)[:, 0], OME_CHANNELS)
        attributes = (folder / ".zattrs").read_text()
        (folder / ".zattrs").write_text(attributes.replace(', "unit": "nanometer"', ""))
        assert read_image(read_image_file(str(folder))).pixel_size_um is None

    def test_a_folder_that_is_no_ome_zarr_image_is_refused(self, tmp_path: Path) -> None:
        folder = make_ome_zarr(tmp_path / "a.zarr", make_levels(0)[:, 0], OME_CHANNELS)
        (folder / ".zattrs").write_text("{}")
        with pytest.raises(BadImageError, match=r"^an OME-Zarr file that bioio-ome-zarr cannot read: "):
            read_image(read_image_file(str(folder)))

    def test_preview_prepare_and_ingest_take_the_folders(self, tmp_path: Path) -> None:
        source = Folder(str(_make_scans(tmp_path / "scans", "a", "b")), CLASS_NAMES, image_names=NAMES)
        found = preview(source, CLASS_NAMES, by_class=False, intensity_range="0:4095")
        assert found.findings[0].startswith("A run would leave out 0 of 2 samples")
        assert prepare(labelled(source, CLASS_NAMES), tmp_path / "out", READING, class_names=CLASS_NAMES).num_samples == 2
        expected = to_8_bits(make_levels(0)[OME_CHANNELS.index("Tub"), 0], (0, 4095))
        written = cv2.imread(str(tmp_path / "out" / "train" / "a_red.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, expected)

        stored = ingest_images(source, "dir", str(tmp_path / "data"), list(CLASS_NAMES))
        assert (stored.num_samples, stored.num_bad) == (2, 0)
        data = storage.read_bytes(storage.join(stored.images_uri, "a.ozx"))
        pixels = sample_pixels(dict.fromkeys(FILTERS[:3], data), FILTERS[:3], 96, READING)
        np.testing.assert_array_equal(pixels[..., 0], expected)
