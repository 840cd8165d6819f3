"""The pipeline: how the steps are connected. Nothing else."""

from kfp import dsl

from components.artifacts.image_names import DEFAULT_PATTERN
from components.convert.component import convert
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.push.component import push
from components.train.component import train
from pipeline.placement import GKE_T4_NODES, place

PIPELINE_NAME = "hpa-pipeline"


@dsl.pipeline(
    name=PIPELINE_NAME,
    display_name="Human Protein Atlas image classification",
    description="Multi-label classification of protein localisation in multi-channel fluorescence images of cells.",
)
def hpa_pipeline(  # noqa: D417 (the steps describe the other parameters)
    source: str,
    data_root: str,
    serving_root: str,
    model_name: str = "hpa",
    image_size_px: int = 299,
    channels: str = "rgb",
    split: str = "grouped",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    intensity_range: str = "",
    projection: str = "",
    include_test: bool = False,
    parallel_transfers: int = 16,
    classes: str = "",
    file_pattern: str = DEFAULT_PATTERN,
    filters: str = "",
    labels: str = "",
    id_column: str = "",
    label_column: str = "",
    group_column: str = "",
    first_class: int = 0,
    max_bad_fraction: float = 0.01,
    beam_runner: str = "local",
    beam_options: str = "",
    recipe: str = "paper",
    backbone: str = "",
    weights: str = "imagenet",
    epochs: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    patience: int = 0,
    loss: str = "",
    precision: str = "auto",
    warm_start: bool = False,
    seed: int = 0,
    gpu_node_selector: dict = GKE_T4_NODES,  # type: ignore[type-arg] # KFP wants the plain type
    blessing_min_gain: float = 0.0,
    blessing_max_class_drop: float = 0.05,
    serving_precision: str = "float32",
) -> None:
    """Connects the steps. The steps describe the other parameters.

    Args:
        seed: Seeds the random draws of training and evaluation: initial weights, order of the data, augmentation, dropout,
            and the intervals' resamples. The data and the split do not depend on it: see source and split_seed.
        gpu_node_selector: The labels of the GPU nodes for train, as JSON.
    """
    ingested = ingest(
        source=source,
        data_root=data_root,
        include_test=include_test,
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
    converted = convert(
        raw_images=ingested.outputs["raw_images"],
        data_root=data_root,
        image_size_px=image_size_px,
        channels=channels,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        intensity_range=intensity_range,
        projection=projection,
        max_bad_fraction=max_bad_fraction,
        beam_runner=beam_runner,
        beam_options=beam_options,
    )
    trained = train(
        examples=converted.outputs["examples"],
        transform_graph=converted.outputs["transform_graph"],
        data_root=data_root,
        serving_root=serving_root,
        model_name=model_name,
        recipe=recipe,
        backbone=backbone,
        weights=weights,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        loss=loss,
        precision=precision,
        warm_start=warm_start,
        seed=seed,
    )
    evaluated = evaluate(
        examples=converted.outputs["examples"],
        model=trained.outputs["model"],
        data_root=data_root,
        serving_root=serving_root,
        model_name=model_name,
        blessing_min_gain=blessing_min_gain,
        blessing_max_class_drop=blessing_max_class_drop,
        serving_precision=serving_precision,
        seed=seed,
    )
    pushed = push(
        model=trained.outputs["model"],
        thresholds=evaluated.outputs["thresholds"],
        blessing=evaluated.outputs["blessing"],
        serving_root=serving_root,
        model_name=model_name,
    )
    place(
        gpu_node_selector,
        ingest=ingested,
        convert=converted,
        train=trained,
        evaluate=evaluated,
        push=pushed,
    )
