"""What every model card says, whichever the model (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

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
