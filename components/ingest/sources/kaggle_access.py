"""Requests the download address of a competition's archive from Kaggle, through Kaggle's SDK.

Neither errors nor logs contain a credential or a signed URL.
"""

import base64
import contextlib
import errno
import functools
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from kagglesdk import KaggleClient, get_access_token_from_env
from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

from components import __version__
from components.ingest.archive.remote import Address, hide_addresses
from components.ingest.archive.retry import LONGEST_RETRY_AFTER_S, TransientError, reason, retry_after_s, retrying
from components.storage import NoCredentialsError

# The time limit for connecting to Kaggle, and between two pieces of a response.
TIMEOUT_S = 60.0

_HPA = "human-protein-atlas-image-classification"
_SETTINGS_URL = "https://www.kaggle.com/settings"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LONGEST_QUOTE = 200


@dataclass(frozen=True)
class _Credentials:
    """Credentials for Kaggle: a token, or a user name with a key.

    Attributes:
        place: Their origin, for errors.
    """

    place: str
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)

    def are_in(self, text: str) -> bool:
        """Whether a text contains the token, the key, or the key as it is sent."""
        basic = base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
        return any(secret in text for secret in (self.token, self.key, basic) if secret)


def find_archive(competition: str) -> Address:
    """Requests the address of the archive of a competition's files from Kaggle, without downloading it.

    The address expires: call this again for a new one. Credentials come from the places of Kaggle's own command, in its order:
    KAGGLE_API_TOKEN (a token, or the path of a file with one), ~/.kaggle/access_token, KAGGLE_USERNAME with KAGGLE_KEY, and
    kaggle.json in KAGGLE_CONFIG_DIR, ~/.kaggle or ~/.config/kaggle.

    Raises:
        ValueError: If the name cannot be that of a competition, or credentials are malformed.
        PermissionError: If there are no credentials, Kaggle does not accept them, or the competition's rules are not accepted.
        FileNotFoundError: If Kaggle has no such competition.
        TransientError: If Kaggle cannot be reached or is overloaded on every attempt.
        OSError: For any other response.
    """
    if not _PLAIN_NAME.fullmatch(competition):
        raise ValueError(
            f"source: expected kaggle:<competition>, with the name in its address, {_competition_url('<competition>')}. "
            f"Received: kaggle:{competition}"
        )
    return retrying()(_ask, competition, _find_credentials())


def rules_url(competition: str) -> str:
    """The page to read and accept a competition's rules."""
    return f"{_competition_url(competition)}/rules"


def licence(competition: str) -> str:
    """Licence and credit of a competition's images, as lineage shows them."""
    if competition == _HPA:
        return f"CC BY-SA; image credit: Human Protein Atlas; and the competition's rules: {rules_url(competition)}"
    return f"as the competition's rules state: {rules_url(competition)}"


def _competition_url(competition: str) -> str:
    return f"https://www.kaggle.com/c/{competition}"


def _find_credentials() -> _Credentials:
    """The first credentials in the order in which Kaggle's own command looks for them."""
    token, name = _find_token()
    if token:
        place = {"access_token": "~/.kaggle/access_token"}.get(name, name)
        return _Credentials(place, token=_plain(token, place))
    username, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if username and key:
        place = "KAGGLE_USERNAME and KAGGLE_KEY"
        return _Credentials(place, username=_plain(username, place), key=_plain(key, place))
    path = _config_dir() / "kaggle.json"
    if path.exists():
        return _read_kaggle_json(path)
    raise NoCredentialsError(
        f"There are no credentials for Kaggle. Create a token at {_SETTINGS_URL} and set the environment variable "
        f"KAGGLE_API_TOKEN to it; or set KAGGLE_USERNAME and KAGGLE_KEY, or save kaggle.json as {path}"
    )


def _find_token() -> tuple[str | None, str]:
    try:
        token, name = get_access_token_from_env()
    except OSError as error:
        # The SDK first tries the variable as a path, and a long token exceeds the length of file names.
        if error.errno != errno.ENAMETOOLONG:
            raise
        return os.environ["KAGGLE_API_TOKEN"], "KAGGLE_API_TOKEN"
    return token, name or ""


def _config_dir() -> Path:
    """The folder of kaggle.json, by the rules of Kaggle's own command. The SDK looks only in ~/.kaggle."""
    if named := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(named)
    usual = Path.home() / ".kaggle"
    if sys.platform.startswith("linux") and not usual.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    return usual


def _read_kaggle_json(path: Path) -> _Credentials:
    # The messages of these errors may contain the content.
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        username, key = content["username"], content["key"]
        return _Credentials(str(path), username=_plain(username, "username"), key=_plain(key, "key"))
    raise ValueError(
        f"{path}: expected the JSON that {_SETTINGS_URL} creates, with username and key. Received: something else, not shown. "
        "Create it again"
    )


def _plain(secret: str, place: str) -> str:
    """A secret without the line ending of a file."""
    secret = secret.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValueError(f"{place}: expected one line of printable ASCII characters. Received: something else, not shown")
    return secret


def _ask(competition: str, credentials: _Credentials) -> Address:
    request = ApiDownloadDataFilesRequest()
    request.competition_name = competition
    try:
        with (
            _open_client(credentials) as client,
            client.competitions.competition_api_client.download_data_files(request) as response,
        ):
            return _address(competition, response)
    except requests.HTTPError as error:
        with error.response as response:
            failure = _refusal(competition, credentials, response)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: no proper JSON or URL
        failure = TransientError(f"Kaggle cannot be reached for the files of {competition}: {reason(error)}")
    raise failure  # not above, where an error that contains the URL would become its context


@contextlib.contextmanager
def _open_client(credentials: _Credentials) -> Iterator[KaggleClient]:
    hide_addresses()
    with KaggleClient(
        api_token=credentials.token,
        username=credentials.username,
        password=credentials.key,
        user_agent=f"hpa-pipeline/{__version__}",
    ) as client:
        # The SDK has no option for either: it waits forever, and allows compression, which changes length and ETag.
        session = client.http_client()._session
        session.send = functools.partial(session.send, timeout=TIMEOUT_S)
        session.headers["Accept-Encoding"] = "identity"
        yield client


def _address(competition: str, response: requests.Response) -> Address:
    """The address that the API redirects to, from the headers of its response. The body is not read."""
    num_bytes = response.headers.get("Content-Length", "")
    if not response.history or not num_bytes.isdecimal():
        raise OSError(
            f"Kaggle does not provide the files of {competition}: expected a redirect to a file of known size. "
            f"Received: {len(response.history)} redirects, then status {response.status_code}, "
            f"{response.headers.get('Content-Type')}, Content-Length: {num_bytes or 'none'}"
        )
    return Address(url=response.url, etag=response.headers.get("ETag", ""), num_bytes=int(num_bytes))


def _refusal(competition: str, credentials: _Credentials, response: requests.Response) -> OSError:
    """The error for a refusal, with advice."""
    status, reason = _read_refusal(credentials, response)
    wait_s = retry_after_s(response)
    if response.history:  # the archive's host rejects this address, but may accept another
        return TransientError(f"Kaggle's download address for the files of {competition} does not work ({status})", wait_s)
    if status in (408, 429) or status >= 500:
        advice = "; run the same command after that" if (wait_s or 0.0) > LONGEST_RETRY_AFTER_S else ""
        pause = f", and asks to wait {wait_s:.0f} s{advice}" if wait_s else ""
        return TransientError(f"Kaggle cannot provide the files of {competition} now ({reason}){pause}", wait_s)
    if status == 401:
        return PermissionError(
            f"Kaggle does not accept the credentials in {credentials.place} ({reason}). "
            f"Create a new token at {_SETTINGS_URL} and set the environment variable KAGGLE_API_TOKEN to it"
        )
    if status == 403:
        return PermissionError(
            f"The credentials in {credentials.place} have no access to the files of {competition} ({reason}). "
            f"Sign in as their owner, accept the competition's rules at {rules_url(competition)} and run again"
        )
    if status == 404:
        return FileNotFoundError(
            f"Kaggle has no competition {competition} ({reason}). Expected a name as in the address {_competition_url(_HPA)}"
        )
    return OSError(f"Kaggle does not provide the files of {competition}: expected a redirect. Received: {reason}")


def _read_refusal(credentials: _Credentials, response: requests.Response) -> tuple[int, str]:
    """The status of a refusal, and its explanation without secrets.

    Kaggle explains an error in JSON with a status of its own, which sometimes replaces the HTTP status.
    """
    status = response.status_code
    content = response.json() if "application/json" in response.headers.get("Content-Type", "") else None
    if not isinstance(content, dict):
        return status, str(status)
    status = status if status >= 400 else content["code"]
    message = " ".join(str(content.get("message") or "").split())
    if not message or credentials.are_in(message):
        return status, str(status)
    return status, f"{status}: {message[:_LONGEST_QUOTE]}"
