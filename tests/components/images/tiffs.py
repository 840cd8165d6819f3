"""Writes TIFF files like those of tifffile and microscopes."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile

OME_CHANNELS = ("DAPI", "Tub", "Ab", "ER")


def make_tiff(pixels: np.ndarray, **options: object) -> bytes:
    """A TIFF file; `options` are those of `tifffile.imwrite`."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"photometric": "minisblack"} | options)
    return file.getvalue()


def make_levels(seed: int, num_planes: int = 1, side_px: int = 96) -> np.ndarray:
    """Twelve bits in sixteen: channels x planes x height x width."""
    shape = len(OME_CHANNELS), num_planes, side_px, side_px
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


def make_ome_tiffs(
    folder: Path, targets: Mapping[str, str], num_planes: int = 1, side_px: int = 96, pixel_size_nm: float = 80
) -> Path:
    """A folder with train.csv and `<Id>.ome.tif` files of `make_levels`, by position; those at odd ones are reversed."""
    folder.mkdir()
    (folder / "train.csv").write_text("Id,Target\n" + "".join(f"{name},{target}\n" for name, target in targets.items()))
    size = {"PhysicalSizeX": pixel_size_nm, "PhysicalSizeXUnit": "nm"}
    for number, sample_id in enumerate(targets):
        step = -1 if number % 2 else 1
        metadata = {"axes": "CZYX", "Channel": {"Name": list(OME_CHANNELS[::step])}} | size
        data = make_tiff(make_levels(number, num_planes, side_px)[::step], ome=True, metadata=metadata)
        (folder / f"{sample_id}.ome.tif").write_bytes(data)
    return folder
