import base64
import concurrent.futures
import csv
import io
import random
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import requests

from components import storage
from components.artifacts.image_names import ImageNames
from components.images.decode import sample_pixels
from components.serving.predict.prediction import predict
from components.serving.server.limits import Limits
from components.serving.server.runner import ReadingOptions
from components.serving.server.serve import open_listener
from tests.components.images.tiffs import make_ome_tiffs
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS, SIDE_PX
from tests.components.serving.server.conftest import Serving, promote_version

_TIMEOUT_S = 60
# Batches of other sizes are summed in another order: differences of 2.5e-6 were seen.
_ROUNDING = 1e-5


def _files(cells_dir: Path, *ids: str) -> list[tuple[str, tuple[str, bytes]]]:
    names = [f"{sample_id}_{name}.png" for sample_id in ids for name in FILTERS]
    return [("files", (name, (cells_dir / "train" / name).read_bytes())) for name in names]


def _post(url: str, files: Any, **options: Any) -> requests.Response:
    return requests.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S, **options)


def test_answers_equal_those_of_predict(url: str, version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"))
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))[:40]
    files = _files(cells_dir, *(row["Id"] for row in rows))
    answer = _post(url, files).json()
    assert answer["version"] == "1"
    assert answer["model"] == "hpa"
    assert answer["thresholds"] == {"Nucleoli": 0.4, "Cytosol": 0.5, "Rods & rings": 0.6}
    assert [sample["id"] for sample in answer["samples"]] == [row["Id"] for row in rows]
    table = list(csv.DictReader(io.StringIO(_post(url, files, headers={"Accept": "text/csv"}).text)))
    for row, sample, from_csv in zip(rows, answer["samples"], table, strict=True):
        expected = [float(row[name]) for name in CLASS_NAMES]
        assert [sample["probabilities"][name] for name in CLASS_NAMES] == pytest.approx(expected, abs=_ROUNDING)
        assert "; ".join(sample["decisions"]) == row["Decisions"] == from_csv["Decisions"]
        assert [float(from_csv[name]) for name in CLASS_NAMES] == pytest.approx(expected, abs=_ROUNDING)


def test_images_unlike_the_training_images_are_reported(serving: Serving, version_with_maps_dir: Path, cells_dir: Path) -> None:
    with serving(version_with_maps_dir) as address:
        answer = _post(address, _files(cells_dir, "s00", "s01")).json()
        described = requests.get(f"{address}/v2/models/hpa", timeout=_TIMEOUT_S).json()
        (probabilities, _, distances) = _infer(address, cells_dir, "s00", "s01")["outputs"]
    assert [output["name"] for output in described["outputs"]] == ["probabilities", "decisions", "distances"]
    assert (distances["shape"], probabilities["shape"][0]) == ([2], 2)
    assert distances["data"] == pytest.approx([sample["distance"] for sample in answer["samples"]], rel=1e-3)
    assert [sample["is_unlike_training"] for sample in answer["samples"]] == [True, True]  # it was trained on noise
    assert min(sample["distance"] for sample in answer["samples"]) > 2
    (warning,) = (warning for warning in answer["warnings"] if warning["problem"] == "unlike the training images")
    assert warning["samples"] == ["s00", "s01"]
    assert warning["message"].startswith("s00, s01: unlike the training images")


def test_answers_are_not_delayed_by_nagles_algorithm() -> None:
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_files_with_all_channels_are_answered_as_by_predict(serving: Serving, version_dir: Path, tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "stacks", dict.fromkeys("ab", "0"), num_planes=3, side_px=40)
    options = ReadingOptions(ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi"), "0:4095", "max")
    predict(str(version_dir), str(folder), str(tmp_path / "p.csv"), options.image_names, "0:4095", "max")
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    with serving(version_dir, options) as url:
        stacks = [("files", (path.name, path.read_bytes())) for path in sorted(folder.rglob("*.tif"))]
        samples = _post(url, stacks).json()["samples"]
    for row, sample in zip(rows, samples, strict=True):
        expected = [float(row[name]) for name in CLASS_NAMES]
        assert [sample["probabilities"][name] for name in CLASS_NAMES] == pytest.approx(expected, abs=_ROUNDING)


def test_bad_samples_have_a_reason_and_the_others_are_answered(url: str, cells_dir: Path) -> None:
    files = [*_files(cells_dir, "s00", "s01", "s02"), ("files", ("notes.txt", b"hello"))]
    files[0] = ("files", ("s00_red.png", b"no image"))
    del files[4]
    answer = _post(url, files).json()
    errors = [sample.get("error", "") for sample in answer["samples"]]
    assert "the red filter is" in errors[0]
    assert errors[1:] == ["the green filter is missing", ""]
    assert answer["ignored"] == ["notes.txt"]


def test_pictures_show_what_the_model_sees(url: str, cells_dir: Path) -> None:
    (sample,) = _post(f"{url}", _files(cells_dir, "s03"), params={"pictures": "true"}).json()["samples"]
    shown = [imagecodecs.png_decode(base64.b64decode(sample["stains"][name])) for name in FILTERS]
    files = {name: (cells_dir / "train" / f"s03_{name}.png").read_bytes() for name in FILTERS}
    assert (np.stack(shown, -1) == sample_pixels(files, FILTERS, SIDE_PX)).all()


def test_badly_exposed_samples_carry_warnings(url: str) -> None:
    rng = np.random.default_rng(0)
    files = [
        ("files", (f"dim_{name}.png", imagecodecs.png_encode(rng.integers(0, 12, (40, 40), np.uint8)))) for name in FILTERS
    ]
    warnings = _post(url, files).json()["warnings"]
    assert [(warning["channel"], warning["problem"]) for warning in warnings] == [(name, "nearly black") for name in FILTERS]


def _infer(url: str, cells_dir: Path, *ids: str) -> Any:
    samples = [{name: (cells_dir / "train" / f"{one}_{name}.png").read_bytes() for name in FILTERS} for one in ids]
    pixels = np.stack([sample_pixels(files, FILTERS, SIDE_PX) for files in samples])
    inputs = [{"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}]
    return requests.post(f"{url}/v2/models/hpa/infer", json={"id": "7", "inputs": inputs}, timeout=_TIMEOUT_S).json()


def test_the_open_inference_protocol_returns_the_predictions_of_an_upload(url: str, cells_dir: Path) -> None:
    assert requests.get(f"{url}/v2/health/live", timeout=_TIMEOUT_S).json() == {"live": True}
    assert requests.get(f"{url}/v2/health/ready", timeout=_TIMEOUT_S).json() == {"ready": True}
    (tensor,) = requests.get(f"{url}/v2/models/hpa", timeout=_TIMEOUT_S).json()["inputs"]
    assert tensor == {"name": "pixels", "datatype": "UINT8", "shape": [-1, SIDE_PX, SIDE_PX, 3]}
    answer = _infer(url, cells_dir, "s00", "s01")
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "hpa", "1")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["probabilities"]["shape"] == [2, 3]
    uploaded = _post(url, _files(cells_dir, "s00", "s01")).json()["samples"]
    expected = [sample["probabilities"][name] for sample in uploaded for name in CLASS_NAMES]
    assert outputs["probabilities"]["data"] == pytest.approx(expected, abs=_ROUNDING)
    decided = [name in sample["decisions"] for sample in uploaded for name in CLASS_NAMES]
    assert outputs["decisions"]["data"] == decided


def test_version_paths_refer_to_the_served_version_and_others_are_not_found(url: str) -> None:
    model = f"{url}/v2/models/hpa"
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, SIDE_PX, SIDE_PX, 3], "data": [1] * SIDE_PX * SIDE_PX * 3}
    for get in ("", "/ready"):
        at_version = requests.get(f"{model}/versions/1{get}", timeout=_TIMEOUT_S)
        assert at_version.status_code == 200
        assert at_version.json() == requests.get(f"{model}{get}", timeout=_TIMEOUT_S).json()
    answer = requests.post(f"{model}/versions/1/infer", json={"inputs": [pixels]}, timeout=_TIMEOUT_S).json()
    assert answer["model_version"] == "1"
    for wrong in (f"{model}/versions/2", f"{url}/v2/models/other", f"{url}/v2/models/other/versions/1"):
        assert requests.get(wrong, timeout=_TIMEOUT_S).status_code == 404
        assert requests.get(f"{wrong}/ready", timeout=_TIMEOUT_S).status_code == 404
        assert requests.post(f"{wrong}/infer", json={"inputs": [pixels]}, timeout=_TIMEOUT_S).status_code == 404


def test_the_model_card_names_the_classes_and_examples_are_predicted(url: str) -> None:
    card = requests.get(f"{url}/model-card", timeout=_TIMEOUT_S)
    assert "hpa, version 1" in card.text
    assert all(name.replace("&", "&amp;") in card.text for name in CLASS_NAMES)
    assert "1.25%" in card.text  # the rarest class's share of the training images
    assert "script-src" not in card.headers["content-security-policy"]
    examples = requests.post(f"{url}/predict", params={"examples": "true"}, timeout=_TIMEOUT_S).json()["samples"]
    assert [len(sample["probabilities"]) for sample in examples] == [3, 3, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"datatype": "FP32"},
        {"data": [256] * SIDE_PX * SIDE_PX * 3},
        {"data": [-1] * SIDE_PX * SIDE_PX * 3},
        {"data": [0.5] * SIDE_PX * SIDE_PX * 3},
        {"data": [1, [2]]},
        {"data": []},
        {"data": [10**30]},
        {"shape": [1, SIDE_PX, SIDE_PX]},
        {"shape": [10**30]},
        {"shape": "no"},
    ],
    ids=repr,
)
def test_wrong_tensors_are_refused(url: str, change: dict[str, Any]) -> None:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, SIDE_PX, SIDE_PX, 3], "data": [1] * SIDE_PX * SIDE_PX * 3}
    answer = requests.post(f"{url}/v2/models/hpa/infer", json={"inputs": [tensor | change]}, timeout=_TIMEOUT_S)
    assert answer.status_code == 400
    assert "Expected one input pixels" in answer.json()["error"]


def test_page_loads_nothing_from_elsewhere_and_no_path_reads_files(url: str) -> None:
    page = requests.get(url, timeout=_TIMEOUT_S)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://www.w3.org/", "")
    assert "https://" not in page.text
    for path in ("/page.html", "/static/app.py", "/%2e%2e/%2e%2e/etc/passwd", "/docs"):
        assert requests.get(url + path, timeout=_TIMEOUT_S).status_code == 404
    assert requests.get(url, headers={"Host": "elsewhere.example"}, timeout=_TIMEOUT_S).status_code == 400


def test_metrics_count_requests_and_openapi_lists_the_paths(url: str, cells_dir: Path) -> None:
    _post(url, _files(cells_dir, "s00"))
    metrics = requests.get(f"{url}/metrics", timeout=_TIMEOUT_S).text
    assert 'hpa_requests_total{path="/predict",status="200"}' in metrics
    assert "hpa_model_version 1.0" in metrics
    assert "hpa_samples_waiting 0.0" in metrics
    described = requests.get(f"{url}/openapi.json", timeout=_TIMEOUT_S).json()["paths"]
    assert {"/predict", "/v2/models/hpa/infer", "/metrics"} <= described.keys()


def test_requests_beyond_the_limits_are_refused(serving: Serving, version_dir: Path, cells_dir: Path) -> None:
    with serving(version_dir, limits=Limits(max_upload_bytes=40_000, max_bytes_in_flight=50_000, max_waiting=2)) as url:
        assert _post(url, [("files", ("a_red.png", bytes(50_000)))]).status_code == 413
        chunked = requests.post(
            f"{url}/predict",
            data=iter([b"--b\r\n", *[bytes(10_000)] * 5]),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
            timeout=_TIMEOUT_S,
        )
        assert chunked.status_code in (400, 413)
        assert _post(url, _files(cells_dir, "s00", "s01")).status_code == 200
        assert _post(url, _files(cells_dir, "s00", "s01", "s02")).status_code in (400, 413)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:  # holds 39 kB of the 50 kB
            slow.sendall(
                f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 39000\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode()
            )
            time.sleep(0.5)
            busy = _post(url, [("files", ("a_red.png", bytes(20_000)))])
            assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
        time.sleep(0.5)
        assert _post(url, _files(cells_dir, "s00")).status_code == 200


def test_full_queue_is_refused_and_freed_again(
    serving: Serving, version_dir: Path, cells_dir: Path, slow_files: dict[str, bytes]
) -> None:
    slow = [("files", (f"slow_{name}.tif", data)) for name, data in slow_files.items()]
    with (
        serving(version_dir, limits=Limits(max_waiting=1, timeout_s=3)) as url,
        concurrent.futures.ThreadPoolExecutor(1) as clients,
    ):
        _until_answered(url, _files(cells_dir, "s00"))  # starts the decoding processes
        waiting = clients.submit(_post, url, slow)
        while "hpa_samples_waiting 1.0" not in requests.get(f"{url}/metrics", timeout=_TIMEOUT_S).text:
            assert not waiting.done()
        busy = _post(url, _files(cells_dir, "s00"))
        assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
        (sample,) = waiting.result().json()["samples"]
        assert sample["error"] == "decoding takes longer than 1.5 s"
        _until_answered(url, _files(cells_dir, "s00"))


def _until_answered(url: str, files: Any) -> None:
    end_s = time.monotonic() + _TIMEOUT_S
    while not _post(url, files).ok:
        assert time.monotonic() < end_s


def test_slow_upload_is_refused(serving: Serving, version_dir: Path) -> None:
    with serving(version_dir, limits=Limits(timeout_s=1)) as url:

        def slowly() -> Iterator[bytes]:
            yield b"--b\r\n"
            time.sleep(1.5)
            yield b"--b--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        assert requests.post(f"{url}/predict", slowly(), headers=headers, timeout=_TIMEOUT_S).status_code == 408


def test_each_of_64_clients_gets_the_answer_to_its_own_images(
    url: str, version_dir: Path, cells_dir: Path, tmp_path: Path
) -> None:
    predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"))
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    with concurrent.futures.ThreadPoolExecutor(64) as clients:
        answers = list(clients.map(lambda number: _post(url, _files(cells_dir, rows[number % len(rows)]["Id"])), range(256)))
    for number, answer in enumerate(answers):
        assert answer.ok, answer.text
        (sample,) = answer.json()["samples"]
        row = rows[number % len(rows)]
        assert sample["id"] == row["Id"]
        expected = [float(row[name]) for name in CLASS_NAMES]
        assert [sample["probabilities"][name] for name in CLASS_NAMES] == pytest.approx(expected, abs=_ROUNDING)


@pytest.mark.object_store
def test_a_model_in_a_bucket_is_served_and_followed(
    serving: Serving, version_dir: Path, cells_dir: Path, remote_root: str
) -> None:
    for version in (1, 2):
        storage.create_tree(version_dir, f"{remote_root}/serving/hpa/{version}")
    promote_version(f"{remote_root}/serving", 1)
    with serving(f"{remote_root}/serving/hpa") as url:
        assert _post(url, _files(cells_dir, "s00")).json()["version"] == "1"
        promote_version(f"{remote_root}/serving", 2)
        end_s = time.monotonic() + _TIMEOUT_S
        while _post(url, _files(cells_dir, "s00")).json()["version"] != "2":
            assert time.monotonic() < end_s


def test_champion_is_followed_without_losing_a_request(
    serving: Serving, version_dir: Path, cells_dir: Path, tmp_path: Path
) -> None:
    root = tmp_path / "serving"
    files = _files(cells_dir, "s00")
    for version in (1, 2):
        shutil.copytree(version_dir, root / "hpa" / str(version))
    promote_version(root, 1)
    with serving(root / "hpa") as url, concurrent.futures.ThreadPoolExecutor(4) as clients:
        assert _post(url, files).json()["version"] == "1"
        promote_version(root, 2)
        end_s = time.monotonic() + 60

        def ask() -> tuple[set[int], str]:
            statuses, version = set(), ""
            while version != "2" and time.monotonic() < end_s:
                answer = _post(url, files)
                statuses.add(answer.status_code)
                version = answer.json()["version"]
            return statuses, version

        asked = [clients.submit(ask) for _ in range(4)]
        assert [client.result() for client in asked] == [({200}, "2")] * 4


def test_incomplete_forms_are_refused(url: str, cells_dir: Path) -> None:
    request = requests.Request("POST", f"{url}/predict", files=_files(cells_dir, "s00")).prepare()
    assert isinstance(request.body, bytes)
    headers = {"Content-Type": request.headers["Content-Type"]}
    with requests.Session() as session:
        for end in (*range(0, len(request.body) - 4, 997), len(request.body) - 4):
            answer = session.post(f"{url}/predict", request.body[:end], headers=headers, timeout=_TIMEOUT_S)
            assert answer.status_code == 400, end
        assert session.post(f"{url}/predict", request.body, headers=headers, timeout=_TIMEOUT_S).status_code == 200


@pytest.mark.parametrize("num_uploads", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_uploads_never_cause_a_server_error(url: str, cells_dir: Path, num_uploads: int) -> None:
    """An upload, however damaged, is answered or refused with a reason, and never causes a server error."""
    random_of = random.Random(num_uploads)
    request = requests.Request("POST", f"{url}/predict", files=_files(cells_dir, "s00")).prepare()
    assert isinstance(request.body, bytes)
    statuses = set()
    with requests.Session() as session:
        for _ in range(num_uploads):
            headers = {"Content-Type": request.headers["Content-Type"]}
            body = _mutated(request.body, random_of)
            statuses.add(session.post(f"{url}/predict", body, headers=headers, timeout=_TIMEOUT_S).status_code)
    assert 200 in statuses
    assert statuses <= {200, 400, 413, 422}
    assert "hpa_samples_waiting 0.0" in requests.get(f"{url}/metrics", timeout=_TIMEOUT_S).text


def _mutated(content: bytes, random_of: random.Random) -> bytes:
    body = bytearray(content)
    kind = random_of.random()
    if kind < 0.2:
        del body[random_of.randrange(1, len(body)) :]
    elif kind < 0.3:
        start = random_of.randrange(len(body))
        body[start:start] = body[: random_of.randrange(1000)]
    for _ in range(random_of.choice((1, 10, 100))):
        # Often where the headers of parts and files are.
        position = random_of.randrange(len(body) if kind < 0.5 else min(400, len(body)))
        body[position] = random_of.randrange(256)
    return bytes(body)
