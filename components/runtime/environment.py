"""The environment variables that a cluster or a local runner gives to a step.

Those of a cluster are not set on the pod, where they would also reach Kubeflow's launcher, which stores artifacts from the same
container, and override its own credentials. Instead, Secrets and ConfigMaps are mounted as files, and `compile --s3-endpoint`
writes `HPA_AWS_...`. In addition, volumes can be optional from Kubeflow Pipelines 2.14 on, but variables only from 2.15 on.
"""

import os
from pathlib import Path

# The folder in which each Secret and each ConfigMap is mounted under its own name.
MOUNTS = Path("/etc/hpa-pipeline")
# The allowed prefixes of a step's variables, and the prefix that precedes them in the pod's environment.
_NAMES = ("AWS_", "KAGGLE_")
POD_PREFIX = "HPA_"
# The variable in which a local runner gives its process id.
RUNNER_PID = "HPA_RUNNER_PID"
# The keys of Kubeflow Pipelines' own Secret, and the variables that they are for.
_VARIABLES = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}


def load_environment(mounts: Path = MOUNTS) -> None:
    """Sets the variables that the cluster gives to this step, overriding those of the pod.

    A variable from the compiled pipeline takes precedence over the same one from a file. Absent and empty ones are ignored, so
    that the credentials of the pod's account or node still work.

    Args:
        mounts: The folder of the mounted Secrets and ConfigMaps; it need not exist.
    """
    files = {_VARIABLES.get(path.name, path.name): path for path in sorted(mounts.glob("*/*")) if path.is_file()}
    given = {name: path.read_text(encoding="utf-8").strip() for name, path in files.items() if name.startswith(_NAMES)}
    pod = {name.removeprefix(POD_PREFIX): value for name, value in os.environ.items() if name.startswith(POD_PREFIX)}
    given |= {name: value for name, value in pod.items() if name.startswith(_NAMES)}
    os.environ.update({name: value for name, value in given.items() if value})
