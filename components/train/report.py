"""The training report: loss and accuracy by epoch, and images as the network saw them."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from components.artifacts.examples import ExampleReader
from components.artifacts.manifest import TrainedModel
from components.reports.page import Section, render_page, table
from components.reports.plots import figure, make_figure
from components.reports.stains import composite, stain_colours
from components.train.augmentation import augment
from components.train.history import History
from components.train.inputs import plan_epoch, read_batch
from components.train.recipes import Recipe

_NUM_AUGMENTED = 4
_NUM_VERSIONS = 4
_DISPLAY_GAIN = 2.0
"""Stained cells are dark, so pictures are brightened."""

# An image as stored, and as the network saw it in several epochs: float32 in [0, 255], shape (height, width, 3).
AugmentedImage = Sequence[np.ndarray]


def training_report(model: TrainedModel, history: History, precision: str, augmented: Sequence[AugmentedImage]) -> str:
    """Renders the page. The first two curves correspond to figures 4 and 5 of the paper, the pictures to its figure 3."""
    metrics = model.metrics
    parameters = model.parameters | {"started from": model.started_from}
    rows = [
        ["Loss", metrics["loss"], metrics["val_loss"], "-"],
        ["Accuracy, element-wise", metrics["accuracy"], metrics["val_accuracy"], metrics["val_accuracy_all_negative"]],
        ["Macro F1 at the best threshold on validation", "-", metrics["val_f1_macro"], 0.0],
    ]
    return render_page(
        "Training report",
        f"{model.epochs_trained} epochs in {precision}; the model is that of epoch {model.best_epoch}, "
        "with the smallest validation loss.",
        [
            Section(
                "The chosen epoch",
                table(["", "training", "validation", "predicting nothing"], rows),
                "Training figures are averages over the epoch, on augmented images. Accuracy means little beside its baseline: "
                "most classes are absent from most images.",
            ),
            Section(
                "Loss and accuracy", figure(_curves(model, history), "Loss and accuracy by epoch, training and validation")
            ),
            Section(
                "Macro F1, learning rate and speed",
                figure(_further_curves(history), "Macro F1 on validation, learning rate and images per second, by epoch"),
            ),
            Section(
                "What the network sees",
                figure(_augmented(augmented), "Images as they are stored, and as the network sees them"),
                "Left as stored, then as augmented for the first epochs: turned, mirrored, brighter or darker, and cropped if "
                f"the recipe says so. Shown at {_DISPLAY_GAIN:g} times their brightness.",
            ),
            Section("Parameters", table(["Parameter", "value"], [[k, str(v)] for k, v in parameters.items()])),
        ],
    )


def augmented_versions(examples: ExampleReader, recipe: Recipe, seed: int) -> Sequence[AugmentedImage]:
    """Some training images as stored, and as augmented in the first epochs."""
    colours = stain_colours(examples.channels)
    chosen = np.arange(min(_NUM_AUGMENTED, len(examples)))
    shown: list[list[np.ndarray]] = [[] for _ in chosen]
    for epoch in range(_NUM_VERSIONS + 1):
        plan = plan_epoch(examples, recipe, seed, max(0, epoch - 1))
        order = plan.numbers.ravel()
        # The images' places in the epoch. Images that the epoch leaves out are augmented like its first ones.
        places = [int(np.flatnonzero(order == number)[0]) if number in order else int(number) % order.size for number in chosen]
        symmetries = plan.symmetries.ravel()[places]
        draws, corners = (values.reshape(-1, 2)[places] for values in (plan.draws, plan.corners))
        crop_px = plan.crop_px
        if epoch == 0:
            symmetries, draws, corners = (np.zeros_like(values) for values in (symmetries, draws, corners))
            crop_px = examples.shape[0]
        pixels, _ = read_batch(examples, chosen, symmetries, corners, crop_px)
        images = augment(tf.convert_to_tensor(pixels), draws, recipe.rotation_turns, recipe.brightness)
        for versions, image in zip(shown, np.asarray(images), strict=True):
            versions.append(composite(image, colours))
    return shown


def _curves(model: TrainedModel, history: History) -> Figure:
    plot = make_figure(10, 3.6)
    epochs = range(1, history.num_epochs + 1)
    for axes, name in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.curves[name], label="training", marker="o", markersize=4)
        axes.plot(epochs, history.curves[f"val_{name}"], label="validation", marker="o", markersize=4)
        axes.axvline(model.best_epoch, color="grey", linewidth=0.8, linestyle=":", label="chosen epoch")
        if name == "accuracy":
            baseline = model.metrics["val_accuracy_all_negative"]
            axes.axhline(baseline, color="firebrick", linewidth=0.8, linestyle="--", label="predicting nothing")
        _label(axes, name, history)
        axes.legend()
    return plot


def _further_curves(history: History) -> Figure:
    plot = make_figure(10, 2.8)
    curves = {
        "macro F1, validation": history.curves["val_f1_macro"],
        "learning rate": history.curves["learning_rate"],
        "images/s": history.images_per_s,
    }
    for axes, (title, values) in zip(plot.subplots(1, 3), curves.items(), strict=True):
        axes.plot(range(1, history.num_epochs + 1), values, marker="o", markersize=4)
        axes.set_ylim(bottom=0)
        _label(axes, title, history)
    return plot


def _augmented(images: Sequence[AugmentedImage]) -> Figure:
    plot = make_figure(10, 2 * len(images))
    for row, versions in zip(plot.subplots(len(images), _NUM_VERSIONS + 1, squeeze=False), images, strict=True):
        for number, (axes, image) in enumerate(zip(row, versions, strict=True)):
            axes.imshow(np.clip(image * _DISPLAY_GAIN, 0, 255).astype(np.uint8))
            axes.set_axis_off()
            axes.set_title(f"epoch {number}" if number else "as stored", fontsize=8)
    return plot


def _label(axes: Axes, title: str, history: History) -> None:
    axes.set_xlabel("epoch")
    axes.set_title(title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, history.num_epochs + 0.5)  # matplotlib's own limits for a single epoch are too narrow
    axes.margins(y=0.1)
