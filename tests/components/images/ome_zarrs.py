"""Writes OME-Zarr images without a library: Zarr version 2, not compressed, in one chunk."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def make_ome_zarr(folder: Path, pixels: np.ndarray, channel_names: Sequence[str], pixel_size_nm: float = 80) -> Path:
    """Writes channels x height x width."""
    (folder / "0").mkdir(parents=True)
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space", "unit": "nanometer"} for name in "yx")]
    scale = {"type": "scale", "scale": [1, pixel_size_nm, pixel_size_nm]}
    attributes = {
        "multiscales": [{"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}],
        "omero": {"channels": [{"label": name} for name in channel_names]},
    }
    array = {
        "zarr_format": 2,
        "shape": pixels.shape,
        "chunks": pixels.shape,
        "dtype": pixels.dtype.str,
        "compressor": None,
        "filters": None,
        "order": "C",
        "fill_value": 0,
    }
    for name, content in ((".zgroup", {"zarr_format": 2}), (".zattrs", attributes), ("0/.zarray", array)):
        (folder / name).write_text(json.dumps(content))
    (folder / "0" / "0.0.0").write_bytes(pixels.tobytes())
    return folder
