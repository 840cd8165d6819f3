"""The steps of the pipeline, and what they share."""

# Stamped on every artifact, and the tag of every image.
__version__ = "0.1.0"
