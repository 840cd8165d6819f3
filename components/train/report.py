"""The training report: how loss and accuracy went, epoch by epoch."""

from matplotlib.figure import Figure

from components.shared.manifest import TrainedModel
from components.shared.page import Section, figure, render_page, table
from components.train.checkpoint import History


def training_report(model: TrainedModel, history: History) -> str:
    """Writes the page. The curves are those of the paper's figures 4 and 5."""
    metrics = model.metrics
    rows = [
        ["Loss (binary cross-entropy)", metrics["loss"], metrics["val_loss"], "-"],
        ["Accuracy, element-wise", metrics["accuracy"], metrics["val_accuracy"], metrics["val_accuracy_all_negative"]],
    ]
    return render_page(
        "Training report",
        f"{model.epochs_trained} epochs; the model is that of epoch {model.best_epoch}, with the smallest validation loss.",
        [
            Section(
                "The chosen epoch",
                table(["", "training", "validation", "always answering no"], rows),
                "Training figures are averages over the epoch, on augmented images. Accuracy means little beside its floor: "
                "most classes are absent from most images.",
            ),
            Section("Curves", figure(_curves(model, history), "Loss and accuracy by epoch, for training and validation")),
            Section("Parameters", table(["Parameter", "value"], [[k, str(v)] for k, v in model.parameters.items()])),
        ],
    )


def _curves(model: TrainedModel, history: History) -> Figure:
    plot = Figure(figsize=(10, 3.6), layout="constrained")
    epochs = range(1, history.num_epochs + 1)
    for axes, name in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.curves[name], label="training", marker=".")
        axes.plot(epochs, history.curves[f"val_{name}"], label="validation", marker=".")
        axes.axvline(model.best_epoch, color="grey", linewidth=0.8, linestyle=":", label="chosen epoch")
        if name == "accuracy":
            floor = model.metrics["val_accuracy_all_negative"]
            axes.axhline(floor, color="firebrick", linewidth=0.8, linestyle="--", label="always answering no")
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.legend()
    return plot
