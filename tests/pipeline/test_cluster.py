"""Runs on a cluster, with the real KFP client and a server with KFP's published API definition."""

from pathlib import Path

import pytest

from components import __version__
from pipeline import cluster
from pipeline.compiled import PIPELINE_YAML
from tests.pipeline.kfp_server import KfpServer, Refused, check_model


def test_the_loopback_server_refuses_unknown_fields() -> None:
    check_model("V2beta1Run", {"display_name": "x", "runtime_config": {"parameters": {"a": 1}}})
    for wrong in ({"name": "x"}, {"display_name": 1}, {"state": "GONE"}, {"created_at": 3}, {"runtime_config": {"params": {}}}):
        with pytest.raises(Refused):
            check_model("V2beta1Run", wrong)


def test_waiting_renews_an_expired_token(server: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_POLL_S", 0.0)
    server.token = "first"
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "first")
    connected = cluster.Cluster(server.address)
    version = connected.upload(PIPELINE_YAML.read_text(encoding="utf-8"))
    server.run_state = "RUNNING"
    run = connected.start(version, "long", "hpa", dict.fromkeys(("source", "data_root", "serving_root"), "gs://bucket/x"))
    seen: list[str] = []

    def show(found: object) -> None:
        seen.append(found.state)  # type: ignore[attr-defined]
        server.token = "second"
        monkeypatch.setenv("KFP_EXISTING_TOKEN", "second")
        server.runs[run.run_id]["state"] = "SUCCEEDED"

    assert connected.wait(run.run_id, show).state == "SUCCEEDED"
    assert seen == ["RUNNING", "SUCCEEDED"]


def test_pipeline_version_is_tagged_with_code_version_and_commit(server: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.Cluster(server.address).upload(PIPELINE_YAML.read_text(encoding="utf-8"))
    (version,) = server.versions.values()
    assert version["tags"] == cluster.version_tags()
    assert version["tags"]["code_version"] == __version__
    monkeypatch.setattr(cluster, "ROOT", Path("/"))  # code without a repository
    assert cluster.version_tags() == {"code_version": __version__}
