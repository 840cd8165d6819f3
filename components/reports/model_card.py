"""What every model card says, whichever the model (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

from components.artifacts.manifest import TrainedModel

INTENDED_USE = (
    "Sorting microscope images by where in the cell a protein is, for research: to look at first what is likely, and to find "
    "images of rare patterns. A person looks at what matters."
)
LIMITS = (
    "Not for diagnosis. It knows only the locations listed, in images stained and taken as those it was trained on: other "
    "stains, cell lines, microscopes or magnifications are outside of what was measured here. Classes with few samples are "
    "recognised poorly, or not measured at all (see the classes). It says which locations an image as a whole shows, not "
    "which cell shows them; activation maps are coarse hints, no segmentation. Images of one well can be on both sides of the "
    "split, as nothing in their pixels tells them from others: figures on new wells may be lower."
)


def card_rows(trained: TrainedModel) -> list[list[str]]:
    """What is known of a model from its manifest: names of things, and what they are."""
    recipe = ", ".join(f"{name} {value}" for name, value in sorted(trained.parameters.items()))
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in sorted(trained.metrics.items()))
    return [
        ["Input", f"{trained.image_size_px} x {trained.image_size_px} pixels of {', '.join(trained.channels)}"],
        ["Grey levels", f"{trained.intensity_range or 'those of 8 bits'} become 0 to 255"],
        ["Pixel size in training", f"{trained.pixel_size_um:.3g} µm" if trained.pixel_size_um else "unknown"],
        ["Fingerprint", f"{trained.fingerprint}, by code version {trained.code_version}"],
        ["Data", trained.source],
        ["Licence and credit of the data", trained.licence],
        ["Recipe", f"{recipe}; trained for {trained.epochs_trained} epochs, of which number {trained.best_epoch} is kept"],
        ["Metrics of that epoch", f"{metrics or 'none recorded'}. The evaluation report has those on the test split"],
        ["Intended use", INTENDED_USE],
        ["Limits", LIMITS],
    ]
