"""The Secrets and ConfigMaps that the steps' pods mount, if the namespace has them."""

import re
from dataclasses import dataclass

from components.runtime.environment import MOUNTS


@dataclass(frozen=True)
class ClusterObject:
    """A Secret or a ConfigMap: its `kind`, and the `keys` that a step reads."""

    kind: str
    name: str
    keys: tuple[str, ...]

    @property
    def mount_path(self) -> str:
        """The folder in which pods find its keys, each as a file."""
        return f"{MOUNTS}/{self.name}"


# Any of Kaggle's keys suffices. The objects' names differ, because each is also the name of a volume in the pod.
KAGGLE = ClusterObject("Secret", "kaggle", ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"))
S3_KEYS = ClusterObject("Secret", "hpa-pipeline-s3-keys", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
# What only push gets instead, if the pipeline is compiled that way.
S3_PUSH_KEYS = ClusterObject("Secret", "hpa-pipeline-s3-push-keys", S3_KEYS.keys)
S3_SETTINGS = ClusterObject("ConfigMap", "hpa-pipeline-s3", ("AWS_ENDPOINT_URL_S3", "AWS_REGION"))
# Kubeflow Pipelines' default artifact store, and the keys for it.
KFP_S3_KEYS = ClusterObject("Secret", "mlpipeline-minio-artifact", ("accesskey", "secretkey"))
_KFP_S3 = re.compile(r"https?://(seaweedfs|minio-service)\.kubeflow(\.svc(\.cluster\.local)?)?:9000/?")


def s3_keys_for(endpoint: str) -> ClusterObject:
    """The Secret with the keys for an S3 endpoint: Kubeflow Pipelines' own Secret only for its own store."""
    return KFP_S3_KEYS if _KFP_S3.fullmatch(endpoint) else S3_KEYS
