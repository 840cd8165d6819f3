"""What the model is, what it was made from, and what it is for (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

from markupsafe import Markup

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import span
from components.reports.page import Section, table

_INTENDED_USE = (
    "Sorting microscope images by where in the cell a protein is, for research: to look at first what is likely, and to find "
    "images of rare patterns. A person looks at what matters."
)
_LIMITS = (
    "Not for diagnosis. It knows only the locations listed, in images stained and taken as those it was trained on: other "
    "stains, cell lines, microscopes or magnifications are outside of what was measured here. Classes with few samples are "
    "recognised poorly, or not measured at all (see the classes). It says which locations an image as a whole shows, not "
    "which cell shows them; activation maps are coarse hints, no segmentation. Images of one well can be on both sides of the "
    "split, as nothing in their pixels tells them from others: figures on new wells may be lower."
)


def model_card_section(data: ReportData) -> Section:
    """The model card."""
    trained, found, examples = data.trained, data.evaluation, data.examples
    size = f"{trained.image_size_px} x {trained.image_size_px} pixels of {', '.join(trained.channels)}"
    splits = ", ".join(f"{examples.num_records(name):,} {name}" for name in examples.shards)
    split = examples.parameters.get("split", "")
    recipe = ", ".join(f"{name} {value}" for name, value in sorted(trained.parameters.items()))
    f1 = f"{found.metrics['f1_macro']:.3f} ({span(found.metrics.get('f1_macro_low'), found.metrics.get('f1_macro_high'))})"
    rows: list[list[object]] = [
        ["Model", f"{trained.backbone} with one sigmoid for each of {len(trained.class_names)} classes; {size}"],
        ["Fingerprint", f"{trained.fingerprint}, by code version {trained.code_version}"],
        ["Data", f"{trained.source}; samples: {splits} (split: {split}); {examples.num_quarantined:,} left out as unusable"],
        ["Licence and credit of the data", trained.licence],
        ["Recipe", f"{recipe}; trained for {trained.epochs_trained} epochs, of which number {trained.best_epoch} is kept"],
        ["Decisions", found.threshold_method],
        ["Macro F1", f"{f1} on {found.num_samples:,} samples of the {found.judged_on} split; 95 % interval in brackets"],
        ["Intended use", _INTENDED_USE],
        ["Limits", _LIMITS],
    ]
    cells = [[Markup('<span style="white-space:nowrap">{}</span>').format(name), value] for name, value in rows]
    return Section("Model card", table(["About", "what is known"], cells))
