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
    channels: str = "rgb",
    filters: str = "",
    labels: str = "",
    id_column: str = "",
    label_column: str = "",
    group_column: str = "",
    first_class: int = 0,
) -> None:
    """Copies the images and labels of a source to data_root, create-only, and publishes an index of them.

    An unchanged source takes seconds. A sample that cannot be used stays in the index with the reason; convert quarantines it.

    Args:
        source: kaggle:<competition>, dir:<folder, gs://... or s3://...> with a table of labels and images (<Id>_<filter>.png or
            file_pattern), or synthetic:<number of samples>[@<series>]; the series is 0 by default, and other series have other
            samples. Kaggle's credentials come from KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or Kaggle's
            files.
        data_root: Where bulk data lives: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        raw_images: Refers to the index and the images, with counts, licence and fingerprint.
        include_test: Also ingest the samples of the source's test set, which have no labels.
        parallel_transfers: The number of concurrent transfers.
        classes: Your own classes: a table (a path, gs://... or s3://...) with the columns index,name. Empty: classes.csv in the
            source's folder, or else the competition's 28.
        file_pattern: The names of a folder's images, relative to the folder: {id} is the sample's id in the table, {filter} the
            stain, * anything.
        channels: The stains in order: rgb or rgby for red, green, blue and yellow; or one to eight names, such as DNA,protein.
        filters: The names of the stains in your files, such as red=tubulin,green=antibody,blue=DAPI,yellow=ER (yellow is
            optional). Empty: the names in channels.
        labels: The table of labels, CSV or Excel: its name in the source's folder, or a path, gs://... or s3://... Empty:
            train.csv.
        id_column: The table's column of ids. Empty: the one with a usual name, such as id, image, file or sample.
        label_column: The table's column of labels. Empty: the one with a usual name, such as target, label or class, or else a
            column of 0 and 1 for each class.
        group_column: The table's column of groups that stay in one split, such as plates, wells or patients. Empty: none.
        first_class: The number of the first class in the labels: 0 or 1.
    """
    import logging

    from components import storage
    from components.artifacts.image_names import ImageNames
    from components.artifacts.labels import parse_channels, stains_of_source
    from components.artifacts.parameters import check_parameters
    from components.ingest.raw import ingest_images
    from components.ingest.sources.classes_csv import class_names_of
    from components.ingest.sources.label_table import LabelTable
    from components.ingest.sources.open_source import open_source
    from components.runtime.progress import step_log

    with step_log("ingest"):
        check_parameters(
            source=source,
            data_root=data_root,
            parallel_transfers=parallel_transfers,
            classes=classes,
            file_pattern=file_pattern,
            channels=channels,
            filters=filters,
            labels=labels,
            id_column=id_column,
            label_column=label_column,
            group_column=group_column,
            first_class=first_class,
        )
        class_names = class_names_of(classes, source, first_class)
        table = LabelTable(labels, id_column, label_column, group_column, first_class)
        names = ImageNames(file_pattern, filters, stains_of_source(parse_channels(channels)))
        with open_source(source, class_names, include_test, names, table) as opened:
            known = storage.list_names(storage.join(data_root, "raw", opened.name, "index"))
            version = ingest_images(opened, source, data_root, class_names, parallel_transfers)
        version.save(raw_images)
        version.describe(raw_images, reused=f"{version.fingerprint}.json" in known)
        logging.getLogger("components.ingest").info(version.summary())
