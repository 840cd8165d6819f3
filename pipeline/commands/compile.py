"""`compile`: writes the pipeline as a file for a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from components import __version__
from pipeline.commands.output import console, fail, reported
from pipeline.compiled import PIPELINE_YAML, compile_pipeline
from pipeline.container_images import read_digests, with_images
from pipeline.named_files import refuse_folder, refuse_missing_folder
from pipeline.releases import Release


def compile_command(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is not up to date.")] = False,
    output: Annotated[Path, typer.Option(help="The file to write.", show_default=PIPELINE_YAML.name)] = PIPELINE_YAML,
    registry: Annotated[str, typer.Option(help="The images' registry; empty means images built on the machine itself.")] = "",
    tag: Annotated[str, typer.Option(help="The images' tag; empty means the code's version.")] = "",
    digests: Annotated[Path | None, typer.Option(help="A file with the output of `make push-images`: pins the images.")] = None,
    kfp: Annotated[
        Release,
        typer.Option(
            help="The oldest release of Kubeflow Pipelines to support. 2.17 adds a deadline for runs, keeps finished runs for "
            "a week, and refuses images that run as root."
        ),
    ] = Release.OLDEST,
    s3_endpoint: Annotated[
        str, typer.Option(help="The endpoint URL of s3:// addresses; empty leaves it to the cluster's ConfigMap.")
    ] = "",
    s3_region: Annotated[str, typer.Option(help="Its region; empty leaves it to the ConfigMap.")] = "",
    s3_push_keys: Annotated[
        bool,
        typer.Option(
            "--s3-push-keys",
            help="Give push its keys for s3:// from the Secret hpa-pipeline-s3-push-keys, so that no other step needs keys "
            "that can write to serving_root.",
        ),
    ] = False,
    cpu: Annotated[
        bool,
        typer.Option(
            "--cpu",
            help="For a cluster without GPUs: train on any node, in the images of `make images CPU=1` unless --tag names "
            "others. The parameter gpu_node_selector then has no effect.",
        ),
    ] = False,
) -> None:
    """Compiles the pipeline to pipeline.yaml.

    Example: python -m pipeline compile --registry registry.example.com/hpa --digests digests.txt --output cluster.yaml
    """
    with reported():
        refuse_folder(output, "--output")
        refuse_missing_folder(output, "--output")
        pinned = read_digests(digests) if digests else None  # checked before compiling, which takes seconds
        compiled = compile_pipeline(kfp, s3_endpoint, s3_region, s3_push_keys, with_gpu=not cpu)
        text = with_images(compiled, registry, tag or (f"{__version__}-cpu" if cpu else ""), pinned)
        is_current = output.is_file() and output.read_text(encoding="utf-8") == text
        if check and not is_current:
            fail(f"{output.name} is not what the code compiles to: run `python -m pipeline compile` and commit the result.")
        if not is_current:
            output.write_text(text, encoding="utf-8")
    console.print(f"{output.name} is {'up to date' if is_current else 'written'}.")
