"""The environment variables that a cluster gives to a step.

These are not variables of the pod: there they would also reach Kubeflow's launcher, which stores artifacts from the same
container, and would outrank its own credentials. Instead, Secrets and ConfigMaps are mounted as files, and
`compile --s3-endpoint` writes `HPA_AWS_...`. Besides, volumes can be optional on every release since 2.14, and variables only
since 2.15.
"""

import os
from pathlib import Path

# The folder in which each Secret and each ConfigMap is mounted under its own name.
MOUNTS = Path("/etc/hpa-pipeline")
# What the variables of a step may begin with, and what stands before that in the environment of its pod.
_NAMES = ("AWS_", "KAGGLE_")
POD_PREFIX = "HPA_"
# The keys of Kubeflow Pipelines' own secret are not named as variables.
_VARIABLES = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}


def load_environment(mounts: Path = MOUNTS) -> None:
    """Sets the variables that the cluster gives to this step, over those that the pod has from elsewhere.

    A variable from the compiled pipeline wins over the same one from a file. What is absent or empty sets nothing, so that
    credentials of the pod's account or node still count.

    Args:
        mounts: The folder of the mounted Secrets and ConfigMaps; it need not exist.
    """
    files = {_VARIABLES.get(path.name, path.name): path for path in sorted(mounts.glob("*/*")) if path.is_file()}
    given = {name: path.read_text(encoding="utf-8").strip() for name, path in files.items() if name.startswith(_NAMES)}
    pod = {name.removeprefix(POD_PREFIX): value for name, value in os.environ.items() if name.startswith(POD_PREFIX)}
    given |= {name: value for name, value in pod.items() if name.startswith(_NAMES)}
    os.environ.update({name: value for name, value in given.items() if value})
