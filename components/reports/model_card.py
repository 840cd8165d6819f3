"""The common content of model cards (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

from components.artifacts.manifest import TrainedModel

INTENDED_USE = (
    "Sorting microscope images by the location of a protein in the cell, for research: to look at the most likely images "
    "first, and to find images of rare patterns. Important results need a check by a person."
)
LIMITS = (
    "Not for diagnosis. It knows only the listed locations, in images stained and taken like those it was trained on: other "
    "stains, cell lines, microscopes or magnifications were not evaluated. Classes with few samples are recognised poorly, or "
    "not evaluated at all (see the classes). It predicts the locations in an image as a whole, not in single cells; activation "
    "maps are coarse hints, not a segmentation. Images of one well can be in different splits, because nothing in their pixels "
    "distinguishes them from others: scores on new wells may be lower."
)


def card_rows(trained: TrainedModel) -> list[list[str]]:
    """The facts in a model's manifest, as pairs of name and value."""
    recipe = ", ".join(f"{name} {value}" for name, value in sorted(trained.parameters.items()))
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in sorted(trained.metrics.items()))
    return [
        ["Input", f"{trained.image_size_px} x {trained.image_size_px} pixels of {', '.join(trained.channels)}"],
        ["Grey levels", f"{trained.intensity_range or 'those of 8 bits'} become 0 to 255"],
        ["Pixel size in training", f"{trained.pixel_size_um:.3g} µm" if trained.pixel_size_um else "unknown"],
        ["Fingerprint", f"{trained.fingerprint}, by code version {trained.code_version}"],
        ["Data", trained.source],
        ["Licence and credit of the data", trained.licence],
        ["Recipe", f"{recipe}; trained for {trained.epochs_trained} epochs, keeping epoch {trained.best_epoch}"],
        ["Metrics of that epoch", f"{metrics or 'none recorded'}. The evaluation report has those on the test split"],
        ["Intended use", INTENDED_USE],
        ["Limits", LIMITS],
    ]
