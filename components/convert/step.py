"""The convert step: images to TFRecords, by a Beam job."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Output


def convert(
    raw_images: Input[Dataset],
    data_root: str,
    examples: Output[Dataset],
    transform_graph: Output[Artifact],
    data_report: Output[HTML],
    quarantine: Output[Dataset],
    image_size_px: int = 299,
    channels: str = "rgb",
    split: str = "grouped",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    intensity_range: str = "",
    projection: str = "",
    max_bad_fraction: float = 0.01,
    beam_runner: str = "local",
    beam_options: str = "",
) -> None:
    """Decodes and resizes the images, splits the samples, and writes sharded TFRecords, with tensorflow-transform's statistics.

    Existing examples of the same images and parameters are reused.

    Args:
        raw_images: The output of ingest.
        data_root: Where bulk data lives: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        examples: Refers to the TFRecords of train, validation and test.
        transform_graph: tensorflow-transform's output: mean and standard deviation per channel, class counts.
        data_report: A page on the data: counts, the split, a contact sheet, and the samples left out.
        quarantine: The samples that could not be used, each with its reason (CSV).
        image_size_px: The side of the square images in pixels, at least 75.
        channels: The stains in order: rgb or rgby for red, green, blue and yellow; or one to eight names, such as DNA,protein.
        split: grouped keeps near-duplicate images in one split and gives every split its share of each class; random is the
            paper's.
        validation_fraction: The share of samples for early stopping and thresholds.
        test_fraction: The share of samples for the final evaluation alone.
        split_seed: Seeds the split and the order of the samples in the shards.
        intensity_range: The grey levels that become 0 and 255, as LOW:HIGH, such as 0:4095 for a 12-bit camera; values outside
            are clipped. One range for all channels, or one for each, separated by commas. auto: from percentiles of the
            training split, for each channel. Empty: the whole range of 8-bit files, and an error for deeper ones.
        projection: How a stack, through depth or time, becomes one plane: max, mean, sum or middle.
        max_bad_fraction: The step fails if more than this share of the samples (and more than one) cannot be used.
        beam_runner: local, or a Beam runner's name such as DataflowRunner.
        beam_options: More options for Beam, as on a command line.
    """
    import logging
    from pathlib import Path

    from components.artifacts.manifest import RawImages
    from components.artifacts.parameters import check_parameters
    from components.convert import settings
    from components.runtime.progress import step_log
    from components.runtime.scratch import scratch_for_libraries

    with step_log("convert"), scratch_for_libraries():  # Beam creates folders, which a kill would leave behind
        wanted = settings.ConvertSettings(
            image_size_px, channels, split, validation_fraction, test_fraction, split_seed, intensity_range, projection
        )
        check_parameters(**vars(wanted), max_bad_fraction=max_bad_fraction, beam_runner=beam_runner)
        raw = RawImages.read(raw_images.path)
        found = done = wanted.find(raw, data_root)
        if done:
            logging.getLogger("components.convert").info("these examples already exist: %s", done.uri)
            settings.check_bad_share(settings.quarantine_reasons(done), raw.num_samples, max_bad_fraction)
        else:
            from components.convert.examples import convert_images

            done = convert_images(raw, data_root, wanted, max_bad_fraction, beam_runner, beam_options)
        done.remove_rest(settings.UNSPLIT)
        done.save(examples)
        done.fetch_folder(settings.TRANSFORM_GRAPH, Path(transform_graph.path))
        done.fetch_file(settings.DATA_REPORT, Path(data_report.path))
        done.fetch_file(settings.QUARANTINE, Path(quarantine.path))
        done.describe(examples, transform_graph, data_report, quarantine, reused=bool(found))
