from typing import Any

import pytest

from components.artifacts.parameters import RULES, check_parameters

# For every rule, valid and invalid values at its limits.
_CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "source": (
        ["dir:/cells", "dir:cells", "dir:gs://cells/hpa", "synthetic:10", "synthetic:450@3", "kaggle:human-protein-atlas"],
        [
            "",
            "kaggle:",
            "kaggle:a/b",
            "dir:",
            "dir",
            "synthetic:2",
            "synthetic:-9",
            "synthetic:",
            "synthetic:\u0663",
            "synthetic:450@",
            "synthetic:450@-1",
            "synthetic:450@2147483648",
            "synthetic:9@3",
            "s3:cells",
            "/cells",
        ],
    ),
    "data_root": (
        ["/data", "gs://bucket/data", "gs://bucket", "s3://bucket/data"],
        ["", "  ", "gs://", "s3://", "s4://bucket/data"],
    ),
    "serving_root": (["/models", "gs://bucket/models", "s3://bucket/models"], ["", "  ", "gs://", "http://host/models"]),
    "parallel_transfers": ([1, 256], [0, 257]),
    "file_pattern": (
        ["{id}_{filter}.png", "{filter}/{id}_*.PNG", "{id}.ome.tif", "{id}_{filter}.JPEG"],
        ["", "{filter}.png", "{id}_{filter}.gif", "../{id}_{filter}.png"],
    ),
    "first_class": ([0, 1], [-1, 2]),
    "model_name": (["cells", "cells_2-a"], ["", "a/b", "..", "a b", "\u00e9"]),
    "image_size_px": ([75, 3072], [74, 3073, 0, -299]),
    "channels": (
        ["rgb", "rgby", "DNA", "DNA,alpha tubulin", "a,b,c,d,e,f,g,h"],
        ["", "rg", "bgr", "RGB", "a,A", "a,b,", "a/b", "a,b,c,d,e,f,g,h,i"],
    ),
    "intensity_range": (
        ["", "auto", "0:4095", "-0.5:1e3", "0:1,0:2,0:3"],
        ["4095", ":", "9:9", "5:4", "0:inf", "nan:1", "a:b", "Auto", "0:1,", "0:1,0:2"],
    ),
    "projection": (["", "max", "mean", "sum", "middle"], ["Max", "best"]),
    "split": (["grouped", "random"], ["", "Random", "stratified"]),
    "validation_fraction": ([0.01, 0.5], [0.0, 0.51, -0.1, float("nan")]),
    "test_fraction": ([0.0, 0.5], [-0.01, 0.51, float("nan")]),
    "split_seed": ([0, 2**31 - 1], [-1, 2**31]),
    "seed": ([0, 2**31 - 1], [-1, 2**31]),
    "max_bad_fraction": ([0.0, 1.0], [-0.01, 1.01, float("nan")]),
    "beam_runner": (
        ["local", "DataflowRunner", "flinkrunner", "Flink"],
        ["", " ", "Local", "DataFlowRuner", "dataflow runner", "os.path"],
    ),
    "recipe": (["paper", "high_resolution"], ["", "no such recipe"]),
    "backbone": (["", "inception_resnet_v2", "densenet121"], ["DenseNet121", "resnet50"]),
    "loss": (["", "bce", "focal", "bce_soft_f1"], ["BCE", "hinge"]),
    "precision": (["auto", "float32", "float16", "bfloat16"], ["", "half"]),
    "serving_precision": (["float32", "bfloat16"], ["auto", "float16"]),
    "weights": (["imagenet"], ["", " "]),
    "epochs": ([0, 150], [-1]),
    "batch_size": ([0, 16], [-1]),
    "learning_rate": ([0.0, 0.001, 10.0], [-0.001, 10.1, float("nan")]),
    "patience": ([0, 5], [-1]),
    "blessing_min_gain": ([-1.0, 0.0, 1.0], [-1.1, 1.1, float("nan")]),
    "blessing_max_class_drop": ([0.0, 1.0], [-0.01, 1.1, float("nan")]),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (fitting, _) in _CASES.items() for value in fitting])
def test_valid_values_are_accepted(name: str, value: Any) -> None:
    check_parameters(**{name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, wrong) in _CASES.items() for value in wrong])
def test_invalid_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected .*Received: {name}="):
        check_parameters(**{name: value})


def test_every_rule_is_tested_here() -> None:
    assert RULES.keys() == _CASES.keys()


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        check_parameters(image_size_px=10, seed=0, channels="bgr")
    assert str(raised.value).splitlines() == [
        "image_size_px: expected a number from 75 to 3072. Received: image_size_px=10",
        "channels: expected rgb, rgby, or names of stains such as DNA,protein, each of at most 40 letters, digits, spaces and "
        "_ - + . ( ) #. 'bgr' is not a valid name. Received: channels=bgr",
    ]


@pytest.mark.parametrize(("channels", "filters"), [("rgb", "red=a,green=b,blue=c"), ("DNA,protein", "protein=GFP,DNA=DAPI")])
def test_filters_name_the_stains_of_channels(channels: str, filters: str) -> None:
    check_parameters(channels=channels, filters=filters)
    check_parameters(channels=channels, filters="")
    for wrong in ("red=a", "tubulin", "DNA=DAPI", f"{filters},other=x"):
        with pytest.raises(ValueError, match=r"^filters: expected .*Received: filters="):
            check_parameters(channels=channels, filters=wrong)


def test_a_source_of_the_four_colours_has_no_other_stains() -> None:
    check_parameters(source="synthetic:10", channels="green,blue")
    with pytest.raises(ValueError, match=r"^channels: synthetic sources have the stains red, green, blue, yellow"):
        check_parameters(source="synthetic:10", channels="DNA,protein")


def test_a_parameter_without_a_rule_may_have_any_value() -> None:
    check_parameters(beam_options="--whatever")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"source": "synthetic:10", "classes": "c.csv"}, "classes"),
        ({"source": "synthetic:10", "filters": "red=a,green=b,blue=c"}, "filters"),
        ({"source": "kaggle:cells", "file_pattern": "{filter}/{id}.png"}, "file_pattern"),
        ({"source": "synthetic:10", "labels": "a.csv", "first_class": 1}, "labels, first_class"),
        ({"source": "kaggle:cells", "labels": "a.csv", "id_column": "ID"}, "labels"),
    ],
)
def test_parameters_that_a_source_ignores_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        check_parameters(**values)
    check_parameters(**(values | {"source": "dir:cells"}))


def test_a_random_split_of_groups_is_refused() -> None:
    values = {"source": "dir:cells", "group_column": "Plate"}
    with pytest.raises(ValueError, match=r"^group_column: .*give split=grouped"):
        check_parameters(**values, split="random")
    check_parameters(**values, split="grouped")
