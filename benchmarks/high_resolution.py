"""Ablation of the recipe `high_resolution`: macro F1 without each of its ingredients.

    python -m benchmarks.high_resolution
    python -m benchmarks.high_resolution --backbone inception_resnet_v2 --image-size-px 150 --seeds 3

Networks are trained from scratch on synthetic images with the published class frequencies, on one split, once for each variant
and seed; a seed determines the initial weights, the order of the images and the augmentation. Macro F1 is measured on the test
split, at the best single threshold on validation. Variants are compared with the whole recipe; the 95 % intervals are Student's
t over the seeds. Images are smaller than the recipe is intended for, and the default network is four convolutions.

Images and the result of each run are kept in outputs/high_resolution/, so that an interrupted call resumes.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.transfer import SERIES, SMALL, fine_tune, natural_split, print_table, small_backbone, write_examples
from components.artifacts.labels import FILTERS
from components.train.devices import open_devices
from components.train.model import BACKBONES, Backbone
from components.train.settings import NONE

FOLDER = Path(__file__).resolve().parent.parent / "outputs" / "high_resolution"
# Without a warm-up, as there are no pretrained weights.
_WHOLE = "high_resolution warmup_epochs=0"
# For each variant, the recipe with changed fields, the divisor of the images' side, and the stains.
VARIANTS: dict[str, tuple[str, int, Sequence[str]]] = {
    "high_resolution": (_WHOLE, 1, FILTERS),
    "half the side": (_WHOLE, 2, FILTERS),
    "three stains": (_WHOLE, 1, FILTERS[:3]),
    "pooling by average alone": (f'{_WHOLE} pooling="average"', 1, FILTERS),
    "crops in training alone": (f"{_WHOLE} crops=1", 1, FILTERS),
    "no crops": (f"{_WHOLE} crop=1.0 crops=1", 1, FILTERS),
}


def main() -> None:
    """Trains all variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=SMALL, help=f"a backbone of the recipes, or `{SMALL}`: four convolutions")
    parser.add_argument("--image-size-px", type=int, default=96)
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--validation", type=int, default=150)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many processes render images")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    BACKBONES[SMALL] = Backbone(small_backbone)
    devices = open_devices()
    split = natural_split(SERIES, {name: getattr(options, name) for name in ("train", "validation", "test")})
    examples = {
        name: write_examples(SERIES, split, options.image_size_px // divisor, options.folder, options.processes, channels)
        for name, (_, divisor, channels) in VARIANTS.items()
    }
    scores: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in range(options.seeds):
        for name, (recipe, *_) in VARIANTS.items():
            found = fine_tune(recipe, seed, examples[name], NONE, options, devices)
            scores[name].append(found["f1_macro"])
    sizes = ", ".join(f"{len(numbers)} {name}" for name, numbers in split.items())
    print(
        f"{options.backbone} at {options.image_size_px} px, trained from scratch for {options.epochs} epochs; images: {sizes}; "
        f"{describe_machine()}. The baseline is {found['f1_macro_baseline']:.3f}.\n"
    )
    print_table(scores)


if __name__ == "__main__":
    main()
