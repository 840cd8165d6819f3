import email.utils
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components.ingest.archive import retry
from components.ingest.archive.retry import TransientError
from components.ingest.sources import kaggle_access
from components.ingest.sources.kaggle_access import find_archive, licence, rules_url
from tests.components.ingest.kaggle_server import COMPETITION, Answer, Exchange, KaggleServer, proxy_environment

_ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and an environment without Kaggle credentials."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name == "XDG_CONFIG_HOME":
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def _set_environment(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name, value in proxy_environment(address).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.zip"
    path.write_bytes(os.urandom(5_000_000))
    return path


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with KaggleServer(archive) as kaggle:
        _set_environment(monkeypatch, kaggle.address)
        yield kaggle


@pytest.fixture
def signed_in(server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> KaggleServer:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
    return server


@pytest.fixture
def _patience_of_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retry, "TRIES", 3)


class TestAddress:
    def test_the_address_is_the_target_of_the_apis_redirect(self, signed_in: KaggleServer, archive: Path) -> None:
        signed_in.etag = '"abc"'
        address = find_archive(COMPETITION)
        (signature,) = signed_in.signatures
        assert address.url.startswith(f"{signed_in.address}/archives/{COMPETITION}.zip?")
        assert signature in address.url
        assert (address.etag, address.num_bytes) == ('"abc"', archive.stat().st_size)

    def test_each_address_is_new(self, signed_in: KaggleServer) -> None:
        first, second = find_archive(COMPETITION), find_archive(COMPETITION)
        assert first.url != second.url
        assert (first.etag, first.num_bytes) == (second.etag, second.num_bytes)

    def test_the_archive_is_not_downloaded_to_find_its_address(self, signed_in: KaggleServer) -> None:
        hung_up = threading.Event()

        def endless(_: Exchange, __: Iterator[bytes]) -> Iterator[bytes]:
            try:
                while True:
                    yield bytes(1 << 16)
            finally:
                hung_up.set()

        signed_in.change_body = endless
        find_archive(COMPETITION)
        assert hung_up.wait(10)

    def test_the_size_is_that_of_the_uncompressed_response(self, signed_in: KaggleServer) -> None:
        find_archive(COMPETITION)
        (exchange,) = signed_in.archive_exchanges
        assert exchange.headers["Accept-Encoding"] == "identity"

    def test_credentials_are_sent_only_to_the_api(self, signed_in: KaggleServer) -> None:
        find_archive(COMPETITION)
        (asked,) = signed_in.api_exchanges
        (followed,) = signed_in.archive_exchanges
        assert (asked.host, asked.headers["Authorization"]) == ("localhost", f"Bearer {signed_in.token}")
        assert (followed.host, followed.headers.get("Authorization")) == ("127.0.0.1", None)

    @pytest.mark.parametrize(
        "competition",
        ["", "two words", "../x", f"https://www.kaggle.com/c/{COMPETITION}", "c/titanic", "x" * 101, "x\n"],
    )
    def test_an_invalid_name_is_refused_before_any_request(self, signed_in: KaggleServer, competition: str) -> None:
        with pytest.raises(ValueError, match=r"expected kaggle:<competition>, .*https://www\.kaggle\.com/c/<competition>"):
            find_archive(competition)
        assert signed_in.exchanges == []


class TestCredentials:
    def test_missing_credentials_are_explained_before_any_request(self, server: KaggleServer, home: Path) -> None:
        with pytest.raises(PermissionError, match="no credentials for Kaggle") as caught:
            find_archive(COMPETITION)
        for word in ("https://www.kaggle.com/settings", "KAGGLE_API_TOKEN", "KAGGLE_KEY", f"{home}/.config/kaggle/kaggle.json"):
            assert word in str(caught.value)
        assert server.exchanges == []

    @pytest.mark.parametrize("end", ["", "\n"])
    def test_a_token_is_accepted(self, server: KaggleServer, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
        monkeypatch.setenv("KAGGLE_API_TOKEN", server.token + end)
        find_archive(COMPETITION)

    def test_a_token_longer_than_any_path_is_accepted(self, server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
        server.token = "x" * 5000
        monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
        find_archive(COMPETITION)

    def test_a_path_to_a_file_with_a_token_is_accepted(
        self, server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "secret").write_text(f"{server.token}\n")
        monkeypatch.setenv("KAGGLE_API_TOKEN", str(tmp_path / "secret"))
        find_archive(COMPETITION)

    def test_a_token_in_the_home_folder_is_accepted(self, server: KaggleServer, home: Path) -> None:
        (home / ".kaggle").mkdir()
        (home / ".kaggle" / "access_token").write_text(f"{server.token}\n")
        find_archive(COMPETITION)

    def test_a_name_and_a_key_are_accepted(self, server: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KAGGLE_USERNAME", server.username)
        monkeypatch.setenv("KAGGLE_KEY", f"{server.key}\n")
        find_archive(COMPETITION)

    def test_a_name_and_a_key_beside_an_empty_token_are_accepted(
        self, server: KaggleServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KAGGLE_API_TOKEN", "")
        monkeypatch.setenv("KAGGLE_USERNAME", server.username)
        monkeypatch.setenv("KAGGLE_KEY", server.key)
        find_archive(COMPETITION)

    @pytest.mark.parametrize(
        ("folder", "variable", "value"),
        [
            (".kaggle", "", ""),
            (".config/kaggle", "", ""),
            ("xdg/kaggle", "XDG_CONFIG_HOME", "xdg"),
            ("mounted", "KAGGLE_CONFIG_DIR", "mounted"),
        ],
    )
    def test_kaggle_json_is_accepted(
        self, server: KaggleServer, home: Path, monkeypatch: pytest.MonkeyPatch, folder: str, variable: str, value: str
    ) -> None:
        (home / folder).mkdir(parents=True)
        (home / folder / "kaggle.json").write_text(json.dumps({"username": server.username, "key": server.key}))
        if variable:
            monkeypatch.setenv(variable, str(home / value))
        find_archive(COMPETITION)

    @pytest.mark.parametrize(
        "content",
        ["", "{}", "[]", "{", '{"username": "u"}', '{"username": "u", "key": 5}', '{"username": "u", "key": ""}', "\xff"],
    )
    def test_a_malformed_kaggle_json_is_named(self, server: KaggleServer, home: Path, content: str) -> None:
        path = home / ".kaggle" / "kaggle.json"
        path.parent.mkdir()
        path.write_text(content, encoding="latin-1")
        with pytest.raises(ValueError, match=f"{path}: expected the JSON .* with username and key"):
            find_archive(COMPETITION)
        assert server.exchanges == []

    @pytest.mark.parametrize("token", [" ", "two\nlines", "caf\u00e9"])
    def test_a_token_that_is_invalid_in_a_header_is_refused(
        self, server: KaggleServer, monkeypatch: pytest.MonkeyPatch, token: str
    ) -> None:
        monkeypatch.setenv("KAGGLE_API_TOKEN", token)
        with pytest.raises(ValueError, match=r"^KAGGLE_API_TOKEN: expected one line of printable ASCII") as caught:
            find_archive(COMPETITION)
        assert token not in str(caught.value).replace(" ", "")
        assert server.exchanges == []

    def test_the_origin_of_rejected_credentials_is_named(self, server: KaggleServer, home: Path) -> None:
        (home / ".kaggle").mkdir()
        (home / ".kaggle" / "access_token").write_text("stale")
        with pytest.raises(PermissionError, match=r"not accept the credentials in ~/\.kaggle/access_token \(401: U") as caught:
            find_archive(COMPETITION)
        assert "Create a new token at https://www.kaggle.com/settings" in str(caught.value)
        assert len(server.exchanges) == 1


class TestRefusals:
    def test_unaccepted_rules_are_reported_with_their_page(self, signed_in: KaggleServer) -> None:
        signed_in.rules_accepted = False
        with pytest.raises(PermissionError, match=r"\(403: You must accept this competition's rules before .*\)") as caught:
            find_archive(COMPETITION)
        assert f"accept the competition's rules at https://www.kaggle.com/c/{COMPETITION}/rules" in str(caught.value)
        assert len(signed_in.exchanges) == 1

    def test_an_unknown_competition_is_named(self, signed_in: KaggleServer) -> None:
        with pytest.raises(FileNotFoundError, match=r"no competition humam-protein-atlas \(404: Competition not found\)"):
            find_archive("humam-protein-atlas")
        assert len(signed_in.exchanges) == 1

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (Answer(400, "Bad slug"), "400: Bad slug"),
            (Answer(400, body=b"<html>", headers={"Content-Type": "text/html"}), "400"),
            (Answer(400, body=b"[1]"), "400"),
            (Answer(200, body=b'{"code": 418, "message": " a\\n teapot "}'), "418: a teapot"),
            (Answer(200, body=b"<html>", headers={"Content-Type": "text/html"}), "0 redirects, then status 200, text/html"),
        ],
    )
    def test_other_refusals_are_quoted(self, signed_in: KaggleServer, answer: Answer, message: str) -> None:
        signed_in.api_answers.append(answer)
        with pytest.raises(OSError, match=r"expected a redirect.* Received: ") as caught:
            find_archive(COMPETITION)
        assert not isinstance(caught.value, TransientError)
        assert message in str(caught.value)
        assert len(signed_in.api_exchanges) == 1

    def test_a_redirect_to_a_file_of_unknown_size_is_refused(self, signed_in: KaggleServer) -> None:
        signed_in.archive_answers.append(Answer(body=b"", headers={"Content-Length": "", "Content-Type": "text/html"}))
        with pytest.raises(OSError, match="1 redirects, then status 200, text/html, Content-Length: none"):
            find_archive(COMPETITION)


@pytest.mark.usefixtures("_patience_of_a_moment")
class TestFaults:
    @pytest.mark.parametrize(
        "answer",
        [
            Answer(429, "Too many requests"),
            Answer(503, body=b"<html>", headers={"Content-Type": "text/html"}),
            Answer(500, body=b"{no JSON"),
            Answer(502, "cut short", headers={"Content-Length": "1000"}),
            Answer(then="reset"),
        ],
        ids=lambda answer: f"{answer.status}-{answer.then}",
    )
    def test_temporary_faults_are_survived(self, signed_in: KaggleServer, answer: Answer) -> None:
        signed_in.api_answers += [answer, answer]
        assert find_archive(COMPETITION).num_bytes
        assert len(signed_in.api_exchanges) == 3

    def test_a_stalled_api_times_out(
        self, signed_in: KaggleServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(kaggle_access, "TIMEOUT_S", 0.2)
        signed_in.api_answers.append(Answer(then="stall"))
        find_archive(COMPETITION)
        assert "ReadTimeout; retrying" in caplog.text

    def test_a_stalled_archive_times_out(
        self, signed_in: KaggleServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(kaggle_access, "TIMEOUT_S", 0.2)
        signed_in.archive_answers.append(Answer(then="stall"))
        find_archive(COMPETITION)
        assert "ReadTimeout; retrying" in caplog.text

    @pytest.mark.parametrize("status", [400, 403, 404, 503])
    def test_a_fault_of_the_archives_host_leads_to_another_address(self, signed_in: KaggleServer, status: int) -> None:
        signed_in.archive_answers.append(Answer(status, body=b"<Error/>", headers={"Content-Type": "application/xml"}))
        address = find_archive(COMPETITION)
        assert address.url.endswith(signed_in.signatures[1])

    def test_a_persistent_fault_becomes_one_error(self, signed_in: KaggleServer) -> None:
        signed_in.api_answers += [Answer(503, "Try later")] * 3
        with pytest.raises(TransientError, match=rf"cannot provide the files of {COMPETITION} now \(503: Try later\)$"):
            find_archive(COMPETITION)

    def test_a_refused_connection_gives_the_systems_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # no server listens here
            _set_environment(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}")
            with pytest.raises(TransientError, match=r"cannot be reached for the files of .*: Connection refused$"):
                find_archive(COMPETITION)

    def test_requests_are_retried_after_the_wait_that_kaggle_asks_for(
        self, signed_in: KaggleServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        signed_in.api_answers.append(Answer(429, "Too many requests", {"Retry-After": "1"}))
        find_archive(COMPETITION)
        assert "(429: Too many requests), and asks to wait 1 s; retrying in 1.0 s" in caplog.text

    @pytest.mark.parametrize("as_date", [False, True])
    def test_requests_are_not_retried_if_kaggle_asks_to_wait_an_hour(self, signed_in: KaggleServer, as_date: bool) -> None:
        value = email.utils.formatdate(time.time() + 3600, usegmt=True) if as_date else "3600"
        signed_in.api_answers.append(Answer(429, "Too many requests", {"Retry-After": value}))
        with pytest.raises(TransientError, match=r"to wait 3\d\d\d s; run the same command after that") as caught:
            find_archive(COMPETITION)
        assert caught.value.retry_after_s == pytest.approx(3600, abs=60)
        assert len(signed_in.exchanges) == 1

    @pytest.mark.parametrize(
        "value", ["soon", "-1", "9" * 5000, "Fri, 31 Dec 99999999 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]
    )
    def test_requests_are_retried_soon_after_a_malformed_retry_after(self, signed_in: KaggleServer, value: str) -> None:
        signed_in.api_answers.append(Answer(429, headers={"Retry-After": value}))
        find_archive(COMPETITION)


@pytest.mark.usefixtures("_patience_of_a_moment")
class TestSecrets:
    """Neither errors nor logs contain a credential or a signed URL."""

    @pytest.fixture(params=["token", "token file", "name and key", "kaggle.json"])
    def known(
        self, request: pytest.FixtureRequest, server: KaggleServer, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> KaggleServer:
        if request.param == "token":
            monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
        elif request.param == "token file":
            (home / "token").write_text(server.token)
            monkeypatch.setenv("KAGGLE_API_TOKEN", str(home / "token"))
        elif request.param == "name and key":
            monkeypatch.setenv("KAGGLE_USERNAME", server.username)
            monkeypatch.setenv("KAGGLE_KEY", server.key)
        else:
            (home / ".kaggle").mkdir()
            (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": server.username, "key": server.key}))
        return server

    @pytest.mark.parametrize(
        ("by_api", "by_host"),
        [
            ([], []),
            ([Answer(401, "No")], []),
            ([Answer(403, "No")], []),
            ([Answer(429, "No")] * 3, []),
            ([Answer(then="reset")] * 3, []),
            ([Answer(then="stall")] * 3, []),
            ([], [Answer(400, "No")] * 3),
            ([], [Answer(404, body=b"<html>", headers={"Content-Type": "text/html"})] * 3),
            ([], [Answer(then="reset")] * 3),
            ([], [Answer(then="stall")] * 3),
            ([], [Answer(body=b"", headers={"a header with spaces": "of which urllib3 warns"})]),
        ],
    )
    def test_success_and_failure_show_no_secret(
        self,
        known: KaggleServer,
        by_api: list[Answer],
        by_host: list[Answer],
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(kaggle_access, "TIMEOUT_S", 0.1)
        known.api_answers += by_api
        known.archive_answers += by_host
        shown = _everything_shown(caplog, capfd)
        assert known.exchanges
        assert [secret for secret in known.secrets if secret in shown] == []

    def test_secrets_that_kaggle_repeats_are_not_shown(
        self, known: KaggleServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for start in ("http://[", "http://x:no-port/"):
            known.api_answers.append(Answer(302, headers={"Location": start + known.new_address()}, body=b""))
        known.api_answers.append(Answer(401, f"Wrong: {known.secrets}"))
        shown = _everything_shown(caplog, capfd)
        assert "(401)" in shown
        assert [secret for secret in known.secrets if secret in shown] == []

    def test_a_traceback_shows_no_secret(self, known: KaggleServer) -> None:
        known.rules_accepted = False
        script = (
            "import sys; from components.ingest.sources.kaggle_access import find_archive; print(find_archive(sys.argv[1]))"
        )
        command = [sys.executable, "-c", script, COMPETITION]
        process = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        assert process.returncode == 1
        assert f"/c/{COMPETITION}/rules" in process.stderr
        assert [secret for secret in known.secrets if secret in process.stdout + process.stderr] == []


def _everything_shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> str:
    caplog.set_level(logging.DEBUG)
    try:
        result = repr(find_archive(COMPETITION))
    except OSError as error:
        result = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
    written = capfd.readouterr()
    return "\n".join([result, caplog.text, *map(repr, caplog.records), written.out, written.err])


class TestLicence:
    def test_the_licence_of_the_atlas_includes_its_credit(self) -> None:
        text = licence(COMPETITION)
        assert "CC BY-SA" in text
        assert "image credit: Human Protein Atlas" in text
        assert rules_url(COMPETITION) in text

    def test_the_licence_of_another_competition_refers_to_its_rules(self) -> None:
        assert licence("titanic") == "as the competition's rules state: https://www.kaggle.com/c/titanic/rules"


class TestServer:
    """Behaviour that other tests rely on."""

    @pytest.mark.parametrize(
        ("header", "status", "wanted"),
        [
            (None, 200, slice(None)),
            ("bytes=0-0", 206, slice(1)),
            ("bytes=4999990-", 206, slice(-10, None)),
            ("bytes=-22", 206, slice(-22, None)),
            ("bytes=4999999-9999999", 206, slice(-1, None)),
            ("bytes=5000000-", 416, slice(0)),
        ],
    )
    def test_the_server_serves_ranges(
        self, server: KaggleServer, archive: Path, header: str | None, status: int, wanted: slice
    ) -> None:
        response = requests.get(server.new_address(), headers={"Range": header}, timeout=10)
        assert (response.status_code, response.content) == (status, archive.read_bytes()[wanted])
        server.close()  # a client may receive the last bytes before they are counted
        assert server.sent_bytes == len(response.content)

    def test_the_server_sends_the_whole_archive_if_ranges_are_off(self, server: KaggleServer, archive: Path) -> None:
        server.accepts_ranges = False
        response = requests.get(server.new_address(), headers={"Range": "bytes=0-0"}, timeout=10)
        assert (response.status_code, response.content) == (200, archive.read_bytes())

    def test_the_server_keeps_a_connection_and_counts_its_requests(self, server: KaggleServer) -> None:
        with requests.Session() as session:
            for _ in range(3):
                session.head(server.new_address(), timeout=10)
        assert [(exchange.method, exchange.status, exchange.sent_bytes) for exchange in server.exchanges] == [
            ("HEAD", 200, 0)
        ] * 3

    def test_the_servers_addresses_expire(self, server: KaggleServer) -> None:
        address = server.new_address()
        server.expire_addresses()
        assert requests.get(address, timeout=10).status_code == 400
        assert requests.get(server.new_address(), timeout=10).status_code == 200
        server.signature_lifetime_s = -1
        assert requests.get(server.new_address(), timeout=10).status_code == 400

    def test_several_servers_run_at_once(
        self, signed_in: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other_archive = tmp_path / "other.zip"
        other_archive.write_bytes(b"other")
        with KaggleServer(other_archive) as other:
            assert find_archive(COMPETITION).num_bytes == 5_000_000
            for name, value in other.environment.items():
                monkeypatch.setenv(name, value)
            assert find_archive(COMPETITION).num_bytes == 5
        assert (len(signed_in.api_exchanges), len(other.api_exchanges)) == (1, 1)

    def test_the_server_truncates_and_resets(self, server: KaggleServer) -> None:
        def reset(_: Exchange, pieces: Iterator[bytes]) -> Iterator[bytes]:
            yield next(pieces)
            raise ConnectionResetError

        server.change_body = lambda _, pieces: itertools.islice(pieces, 3)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            requests.get(server.new_address(), timeout=10)
        server.change_body = reset
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="reset by peer"):
            requests.get(server.new_address(), timeout=10)
