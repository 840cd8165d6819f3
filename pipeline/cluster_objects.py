"""The Secrets and ConfigMaps that are mounted in the pods of the steps, if a namespace has them."""

import re
from dataclasses import dataclass

from components.runtime.environment import MOUNTS


@dataclass(frozen=True)
class ClusterObject:
    """A Secret or a ConfigMap. `kind` is which, and `keys` are those that a step reads."""

    kind: str
    name: str
    keys: tuple[str, ...]

    @property
    def mount_path(self) -> str:
        """Where pods find its keys, each as a file."""
        return f"{MOUNTS}/{self.name}"


# Of Kaggle's keys, any will do. The names differ because each is also the name of a volume in the pod.
KAGGLE = ClusterObject("Secret", "kaggle", ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"))
S3_KEYS = ClusterObject("Secret", "hpa-pipeline-s3-keys", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
# What push alone gets instead, if the pipeline is compiled so.
S3_PUSH_KEYS = ClusterObject("Secret", "hpa-pipeline-s3-push-keys", S3_KEYS.keys)
S3_SETTINGS = ClusterObject("ConfigMap", "hpa-pipeline-s3", ("AWS_ENDPOINT_URL_S3", "AWS_REGION"))
# What Kubeflow Pipelines keeps artifacts in, unless it was installed with another store, and the keys for it.
KFP_S3_KEYS = ClusterObject("Secret", "mlpipeline-minio-artifact", ("accesskey", "secretkey"))
_KFP_S3 = re.compile(r"https?://(seaweedfs|minio-service)\.kubeflow(\.svc(\.cluster\.local)?)?:9000/?")


def s3_keys_for(endpoint: str) -> ClusterObject:
    """The Secret with the keys for an S3 endpoint: Kubeflow Pipelines' own for its own store, and for no other."""
    return KFP_S3_KEYS if _KFP_S3.fullmatch(endpoint) else S3_KEYS
