"""Every metric with its baselines and references."""

from markupsafe import Markup

from components.evaluate.f1_intervals import MIN_CLASS_GROUPS, MIN_GROUPS
from components.evaluate.metrics import BASELINE_TITLES, REFERENCE_TITLES, TITLES
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import figures, metric_interval, span
from components.reports.page import Section, folded, paragraphs, table, wide


def scoreboard_section(data: ReportData) -> Section:
    """The metrics over all classes, with intervals and baselines, and how the thresholds were chosen."""
    found = data.evaluation
    beside = found.baselines | found.references
    rows = [
        [
            title,
            *figures(found.metrics[name], span(metric_interval(found.metrics, name))),
            *figures(*(scores.get(name) for scores in beside.values()), found.validation_metrics.get(name)),
        ]
        for name, title in TITLES.items()
        if name in found.metrics
    ]
    titles = [f"baseline: {BASELINE_TITLES[name]}" for name in found.baselines]
    titles += [f"reference: {REFERENCE_TITLES[name]}" for name in found.references]
    header = ["Metric", "model", "95 % interval", *titles, "model, on validation"]
    return Section(
        "Scoreboard",
        wide(table(header, rows))
        + folded(
            "Conventions, and how the thresholds were chosen",
            paragraphs(_conventions(data), _thresholds(data)) + _threshold_methods(data),
        ),
        f"{found.num_samples:,} samples of the {found.judged_on} split, in {found.num_groups:,} groups of near-duplicates and "
        "of samples grouped by the table of labels. A baseline is the score of a trivial classifier: only the gain over the "
        "baselines counts. A reference uses labels and does not affect the verdict.",
    )


def _conventions(data: ReportData) -> str:
    absent = [score.name for score in data.classes if not score.support]
    words = (
        f"Conventions: common classes are those in at least {MIN_CLASS_GROUPS} groups. The verdict depends on the macro F1 "
        f"over these, which has an interval if there are at least {MIN_GROUPS} groups. Over all classes, it has an interval "
        "only if all are common: no interval can account for classes that a split lacks. A class that no sample shows, or that "
        "is never predicted, counts as 0 there, for the model and the baselines alike, as in the competition (scikit-learn "
        "with zero_division=0). Macro averages of average precision and ROC AUC are over the classes that some samples show "
        "and some do not, and their intervals are too narrow if some of these are rare. The baseline of class frequencies "
        "scores each class with its frequency in these samples, and predicts every class."
    )
    return f"{words} No sample shows {', '.join(absent)}." if absent else words


def _threshold_methods(data: ReportData) -> Markup:
    """The macro F1 of each method of fitting thresholds, on the samples of the fit and on held-out ones."""
    rows = [[method.title.capitalize(), *figures(method.f1_fit, method.f1_held_out)] for method in data.thresholds.methods]
    header = ["Thresholds", "macro F1 on the samples of the fit", "on held-out folds"]
    return wide(table(header, rows)) if rows else Markup("")


def _thresholds(data: ReportData) -> str:
    fitted = data.thresholds
    words = f"Decisions: {fitted.method}, fitted on validation; only element-wise accuracy is at 0.5."
    if fitted.gain is None:
        return f"{words} Validation has too few samples to tell whether one threshold per class would be better."
    return (
        f"{words} On held-out folds of validation, one threshold for all classes gets a macro F1 over common classes of "
        f"{fitted.f1_global:.3f}, and one per class {fitted.f1_per_class:.3f}: a difference of {fitted.gain.low:+.3f} to "
        f"{fitted.gain.high:+.3f} (95 % interval). One per class is used only if the whole interval is above 0."
    )
