"""The ingest step: images and labels from a source to `data_root`."""

from kfp.dsl import Dataset, Output


def ingest(
    source: str,
    data_root: str,
    raw_images: Output[Dataset],
    seed: int = 0,
    include_test: bool = False,
    parallel_transfers: int = 16,
) -> None:
    """Brings the images and labels of a source under data_root, create-only, and publishes an index of them.

    An unchanged source costs seconds. A sample that cannot be used stays in the index with its reason; convert quarantines it.

    Args:
        source: kaggle:<competition>, dir:<folder or gs://...> in the competition's layout (train.csv and <Id>_<filter>.png), or
            synthetic:<number of samples>. Kaggle's credentials come from KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or
            kaggle.json.
        data_root: Where bulk data lives: a folder, or gs://<bucket>/<prefix>.
        raw_images: Points at the index and the images, with counts, licence and fingerprint.
        seed: The series that synthetic samples are drawn from.
        include_test: Also bring the samples of the source's test set, which have no labels.
        parallel_transfers: How many transfers are in flight at once.
    """
    import logging

    from components.ingest.open_source import open_source
    from components.ingest.raw import ingest_images
    from components.shared import storage
    from components.shared.labels import CLASS_NAMES
    from components.shared.parameters import check_parameters
    from components.shared.progress import step_log

    with step_log("ingest"):
        check_parameters(source=source, data_root=data_root, seed=seed, parallel_transfers=parallel_transfers)
        opened = open_source(source, seed, len(CLASS_NAMES), include_test)
        known = storage.list_names(storage.join(data_root, "raw", opened.name, "index"))
        version = ingest_images(opened, source, data_root, list(CLASS_NAMES), parallel_transfers)
        version.save(raw_images)
        version.describe(raw_images, reused=f"{version.fingerprint}.json" in known)
        logging.getLogger("components.ingest").info(version.summary())
