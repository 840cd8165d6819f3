"""Validates pods with everything that `compile` may add by Kubernetes' own schemas."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.compiled import compile_pipeline
from pipeline.releases import Release

KUBERNETES = "1.34"
SPEC, PLATFORM = yaml.safe_load_all(compile_pipeline(Release.NEWEST, "https://s3.example.com", "eu-west-1"))
PODS: dict[str, Any] = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
# A quantity in the Kubernetes API, which the schema only declares as a string.
QUANTITY = re.compile(r"\d+(\.\d+)?([EPTGMk]|[EPTGM]i|Ki|m)?")


def _pod(name: str) -> dict[str, Any]:
    """A pod with the settings of a task in the compiled pipeline, placed as by KFP's driver."""
    container = SPEC["deploymentSpec"]["executors"][name]["container"]
    resources, placed = container["resources"], PODS[name]
    limits = {"cpu": resources["resourceCpuLimit"], "memory": resources["resourceMemoryLimit"]}
    if gpu := resources.get("accelerator"):
        limits[gpu["resourceType"]] = gpu["resourceCount"]
    env = [{"name": one["name"], "value": one["value"]} for one in container.get("env", [])]
    mounts = [(mount["volumeName"], mount["mountPath"]) for mount in placed["emptyDirMounts"]]
    volumes: list[dict[str, Any]] = [
        {"name": mount["volumeName"], "emptyDir": {key: mount[key] for key in ("medium", "sizeLimit") if key in mount}}
        for mount in placed["emptyDirMounts"]
    ]
    for kind, source, key in (("secret", "secret", "secretName"), ("configMap", "configMap", "name")):
        for volume in placed.get(f"{kind}AsVolume", []):
            name = volume[f"{kind}Name"]
            mounts.append((name, volume["mountPath"]))
            volumes.append({"name": name, source: {key: name, "optional": volume["optional"]}})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "activeDeadlineSeconds": int(placed["activeDeadlineSeconds"]),
            "nodeSelector": SPEC["root"]["inputDefinitions"]["parameters"]["gpu_node_selector"]["defaultValue"],
            "tolerations": placed.get("tolerations", []),
            "containers": [
                {
                    "name": "main",
                    "image": container["image"],
                    "command": container["command"],
                    "env": env,
                    "resources": {
                        "requests": {"cpu": resources["resourceCpuRequest"], "memory": resources["resourceMemoryRequest"]},
                        "limits": limits,
                    },
                    "securityContext": placed["securityContext"],
                    "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts],
                }
            ],
            "volumes": volumes,
        },
    }


@pytest.mark.parametrize("name", PODS)
def test_kubernetes_accepts_the_pod_of_each_task(name: str) -> None:
    pod = _pod(name)
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    (container,) = pod["spec"]["containers"]
    quantities = [*container["resources"]["requests"].values(), *container["resources"]["limits"].values()]
    quantities += [volume["emptyDir"]["sizeLimit"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume]
    assert len({volume["name"] for volume in pod["spec"]["volumes"]}) == len(pod["spec"]["volumes"])
    assert [quantity for quantity in quantities if not QUANTITY.fullmatch(quantity)] == []
    for toleration in pod["spec"]["tolerations"]:
        assert toleration["operator"] in ("Exists", "Equal")


def test_an_unknown_kubernetes_field_is_found() -> None:
    pod = _pod("exec-train")
    pod["spec"]["containers"][0]["securityContext"]["runAsNoRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="runAsNoRoot"):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
