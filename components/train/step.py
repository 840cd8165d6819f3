"""The train step: TFRecords to an exported model."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output


def train(
    examples: Input[Dataset],
    transform_graph: Input[Artifact],
    data_root: str,
    serving_root: str,
    model: Output[Model],
    training_metrics: Output[Metrics],
    training_report: Output[HTML],
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
    model_name: str = "hpa",
    seed: int = 0,
) -> None:
    """Trains the recipe's network with one sigmoid per class, and exports it with its normalisation inside.

    A killed run resumes from its checkpoint. A finished one is reused if its inputs have not changed.

    Args:
        examples: The examples from convert.
        transform_graph: The statistics of the training split, from convert.
        data_root: Where bulk data lives: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        serving_root: Where models are served from: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>. It holds the
            champion.
        model: A SavedModel that takes the filters' PNG files, or pixels.
        training_metrics: Loss, accuracy and macro F1 of the chosen epoch, and the accuracy of predicting nothing.
        training_report: A page with the curves, and images as the network sees them.
        recipe: How to train: paper, strong, plateau, or high_resolution, which is for image_size_px=512 channels=rgby.
        backbone: The network: inception_resnet_v2, densenet121, convnext_tiny or efficientnet_v2_s; empty means the recipe's,
            which is inception_resnet_v2 for all.
        weights: imagenet (downloaded by Keras), none, or the path, gs:// or s3:// address of a file of Keras weights.
        epochs: The maximum number of epochs; 0 means the recipe's.
        batch_size: Images per step; 0 means the recipe's.
        learning_rate: Adam's learning rate; 0 means the recipe's.
        patience: Epochs without a better validation loss before stopping; 0 means the recipe's.
        loss: bce, focal or bce_soft_f1; empty means the recipe's.
        precision: What layers compute in: float32, float16 or bfloat16; auto chooses the fastest on the device.
        warm_start: Start from the champion's weights, if there is a champion that fits the examples and the backbone and was
            not trained on samples that the new model is judged on; otherwise from weights.
        model_name: The folder of the model's versions.
        seed: Seeds the initial weights, the order of the data and the augmentation.
    """
    import json
    import logging
    from pathlib import Path

    from components.artifacts.damage import naming
    from components.artifacts.manifest import Examples
    from components.artifacts.parameters import check_parameters
    from components.runtime.mlflow_run import MlflowRun
    from components.runtime.progress import step_log
    from components.serving.champion import find_champion
    from components.train import settings
    from components.train.recipes import RECIPES

    with step_log("train"):
        check_parameters(
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
            seed=seed,
        )
        chosen = RECIPES[recipe].overridden(epochs, batch_size, learning_rate, patience, loss, backbone)
        wanted = settings.TrainSettings(recipe, chosen, weights, seed, precision, warm_start)
        records = Examples.read(examples.path)
        found = done = wanted.find(records, data_root)
        if done:
            logging.getLogger("components.train").info("this model is already trained: %s", done.uri)
            if (mlflow_run := MlflowRun()).is_named:
                with naming(done.file_uri(settings.HISTORY), "curves in JSON", f"delete {done.uri} and run again"):
                    mlflow_run.log_curves(json.loads(done.read_file(settings.HISTORY))["curves"])
        else:
            from components.train.training import train_model

            champion = find_champion(serving_root, model_name) if warm_start else None
            done = train_model(records, Path(transform_graph.path), data_root, wanted, champion)
        done.remove_rest(settings.CHECKPOINTS)
        done.fetch_folder(settings.MODEL, Path(model.path))
        done.fetch_file(settings.TRAINING_REPORT, Path(training_report.path))
        Path(training_metrics.path).write_text(done.model_dump_json(include={"metrics"}), encoding="utf-8")
        for name, value in done.metrics.items():
            training_metrics.log_metric(name, value)
        done.describe(model, training_metrics, training_report, reused=bool(found))
