"""The ingest step: images and labels from a source to `data_root`."""

from kfp.dsl import Dataset, Output


def ingest(
    source: str,
    data_root: str,
    raw_images: Output[Dataset],
    include_test: bool = False,
    parallel_transfers: int = 16,
    classes: str = "",
    file_pattern: str = "{id}_{filter}.png",
    filters: str = "",
) -> None:
    """Brings the images and labels of a source under data_root, create-only, and publishes an index of them.

    An unchanged source costs seconds. A sample that cannot be used stays in the index with its reason; convert quarantines it.

    Args:
        source: kaggle:<competition>, dir:<folder, gs://... or s3://...> with train.csv and images (<Id>_<filter>.png or
            file_pattern), or synthetic:<number of samples>[@<series>]; the series is 0 by default, and another one has other
            samples. Kaggle's credentials come from KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or kaggle.json.
        data_root: Where bulk data lives: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        raw_images: Points at the index and the images, with counts, licence and fingerprint.
        include_test: Also bring the samples of the source's test set, which have no labels.
        parallel_transfers: How many transfers are in flight at once.
        classes: Your own classes: a CSV file (a path, gs://... or s3://...) with the columns index,name. Empty: the
            competition's 28.
        file_pattern: How a folder's images are named, from the folder on: {id} is what train.csv calls the sample, {filter} the
            stain, * anything.
        filters: What your files call the stains, such as red=tubulin,green=antibody,blue=DAPI,yellow=ER (yellow may be absent).
            Empty: red, green, blue and yellow.
    """
    import logging

    from components import storage
    from components.artifacts.image_names import ImageNames
    from components.artifacts.parameters import check_parameters
    from components.ingest.raw import ingest_images
    from components.ingest.sources.classes_csv import class_names_of
    from components.ingest.sources.open_source import open_source
    from components.runtime.progress import step_log

    with step_log("ingest"):
        check_parameters(
            source=source,
            data_root=data_root,
            parallel_transfers=parallel_transfers,
            classes=classes,
            file_pattern=file_pattern,
            filters=filters,
        )
        class_names = class_names_of(classes)
        opened = open_source(source, class_names, include_test, ImageNames(file_pattern, filters))
        known = storage.list_names(storage.join(data_root, "raw", opened.name, "index"))
        version = ingest_images(opened, source, data_root, class_names, parallel_transfers)
        version.save(raw_images)
        version.describe(raw_images, reused=f"{version.fingerprint}.json" in known)
        logging.getLogger("components.ingest").info(version.summary())
