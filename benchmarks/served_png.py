"""Measures how much a model's answers differ between PNG files and the records that convert makes of them.

    python -m benchmarks.served_png --model outputs/data/training/<fingerprint>/attempt-<random>/model --images <folder>

It calls both signatures of the exported model. The folder holds `<id>_<filter>.png` files, as stored by ingest below
`<data_root>/raw/<source>/images`. Decisions use the model's own thresholds: 0.5 in models published by train, and those fitted
by evaluate in pushed models.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.images.decode import sample_pixels

_BATCH = 16


def compare(model_dir: Path, image_dir: Path, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Calls both signatures. Returns differences in probability, and whether decisions are equal: shape (samples, classes)."""
    signatures = tf.saved_model.load(str(model_dir)).signatures
    from_png, from_pixels = signatures["serving_default"], signatures["pixels"]
    filters = [name for name in ("red", "green", "blue", "yellow") if name in from_png.structured_input_signature[1]]
    side_px = from_pixels.structured_input_signature[1]["pixels"].shape[1]
    ids = sorted(path.name.removesuffix("_green.png") for path in image_dir.glob("*_green.png"))[:limit]
    differences, equal = [], []
    for start in range(0, len(ids), _BATCH):
        samples = [
            {name: (image_dir / f"{each}_{name}.png").read_bytes() for name in filters} for each in ids[start : start + _BATCH]
        ]
        pixels = np.stack([sample_pixels(pngs, filters, side_px) for pngs in samples])
        one = from_pixels(pixels=tf.constant(pixels))
        other = from_png(**{name: tf.constant([pngs[name] for pngs in samples]) for name in filters})
        differences.append(np.abs(one["probabilities"] - other["probabilities"]))
        equal.append(one["decisions"].numpy() == other["decisions"].numpy())
    return np.concatenate(differences), np.concatenate(equal)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args()
    differences, equal = compare(options.model, options.images, options.limit)
    size_mb = sum(path.stat().st_size for path in options.model.rglob("*") if path.is_file()) / 1e6
    print(f"{len(equal)} samples, {equal.size} decisions; the model is {size_mb:.0f} MB.")
    print(f"Probabilities differ by {differences.mean():.1e} on average, by {differences.max():.1e} at most.")
    print(f"{equal.mean():.4%} of the decisions are equal ({(~equal).sum()} are not).")


if __name__ == "__main__":
    main()
