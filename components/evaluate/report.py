"""The evaluation report: what the model can do, beside what a blind classifier gets, and where it errs."""

import io

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave

from components.evaluate.inference import Scores
from components.evaluate.metrics import ClassScore
from components.shared.manifest import Evaluation, Examples
from components.shared.page import Section, figure, image, render_page, table, tiles
from components.shared.records import read_split

_MAX_TILES = 18
_FLOORS = {
    "accuracy": ("Accuracy, element-wise at 0.5", "always answering no"),
    "f1_macro": ("F1, macro average", "always answering yes"),
    "f1_micro": ("F1, micro average", "always answering yes"),
}


def evaluation_report(
    evaluation: Evaluation, classes: list[ClassScore], examples: Examples, judged: Scores, y_pred: np.ndarray
) -> str:
    """Writes the page.

    Args:
        evaluation: The figures and the verdict.
        classes: The figures of each class.
        examples: Where the judged images are.
        judged: What the model said of them.
        y_pred: Its decisions: bool, shape (samples, classes).
    """
    metrics = evaluation.metrics
    validation = evaluation.validation_metrics
    rows = [
        [name, metrics[key], metrics[f"{key}_floor"], floor, validation[key], validation[f"{key}_floor"]]
        for key, (name, floor) in _FLOORS.items()
    ]
    verdict = Markup('<p class="{}">{}</p><ul>{}</ul>').format(
        "yes" if evaluation.blessed else "no",
        "Blessed: it may be pushed." if evaluation.blessed else "Not blessed: it is not pushed.",
        Markup("").join(Markup("<li>{}</li>").format(reason) for reason in evaluation.reasons),
    )
    return render_page(
        "Evaluation report",
        f"Model {evaluation.model_fingerprint} on {evaluation.num_samples} samples of the {evaluation.judged_on} split of "
        f"{evaluation.source}.",
        [
            Section("Verdict", verdict),
            Section(
                "Scoreboard",
                table(["Metric", "model", "floor", "the floor is", "on validation", "floor"], rows),
                f"For F1, a class is predicted where its probability is at least {evaluation.threshold:.3f}, fitted on the "
                "validation split. An accuracy is worth only what it is above its floor. A class that is absent or never "
                "predicted has an F1 of 0, as in the competition.",
            ),
            Section("F1 by class", figure(_f1_bars(classes), "F1 of each class beside its floor")),
            Section("Classes", _class_table(classes)),
            Section(
                "Images",
                _gallery(examples, evaluation.judged_on, judged, y_pred),
                "Below each: its locations. Those in green were found, those in red missed; those struck through are absent.",
            ),
            Section("Data", Markup("<p>{}</p>").format(evaluation.licence)),
        ],
    )


def _class_table(classes: list[ClassScore]) -> Markup:
    header = ["Class", "support", "precision", "recall", "F1", "F1 floor"]
    return table(header, [[c.name, c.support, c.precision, c.recall, c.f1, c.f1_floor] for c in classes])


def _f1_bars(classes: list[ClassScore]) -> Figure:
    shown = sorted((c for c in classes if c.support), key=lambda c: (c.support, c.name))
    plot = Figure(figsize=(8, 1 + 0.26 * len(shown)), layout="constrained")
    axes = plot.subplots()
    positions = range(len(shown))
    axes.barh(positions, [c.f1 for c in shown], color="#0f766e", label="model")
    axes.scatter([c.f1_floor for c in shown], positions, color="firebrick", marker="|", s=90, label="always answering yes")
    axes.set_yticks(positions, [f"{c.name} ({c.support})" for c in shown])
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 (in brackets: how many samples show the class)")
    axes.legend(loc="lower right")
    return plot


def _gallery(examples: Examples, split: str, judged: Scores, y_pred: np.ndarray) -> Markup:
    pictures = []
    for position, example in enumerate(read_split(examples, split).take(_MAX_TILES).as_numpy_iterator()):
        buffer = io.BytesIO()
        imsave(buffer, example["pixels"][:, :, :3], format="png")
        words = Markup(", ").join(_words(examples.class_names, judged.y_true[position], y_pred[position]))
        pictures.append((image(buffer.getvalue(), "png", ""), words))
    return tiles(pictures)


def _words(names: list[str], y_true: np.ndarray, y_pred: np.ndarray) -> list[Markup]:
    words = []
    for name, present, predicted in zip(names, y_true, y_pred, strict=True):
        if present:
            words.append(Markup('<span class="{}">{}</span>').format("yes" if predicted else "no", name))
        elif predicted:
            words.append(Markup("<s>{}</s>").format(name))
    return words
