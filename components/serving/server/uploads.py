"""Receives files in memory, and groups them into samples by their names."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.requests import Request

from components.artifacts.image_names import COMPETITION_NAMES, SUFFIXES, ImageNames, by_filter
from components.artifacts.sample_ids import unusable_id
from components.serving.server.limits import RefusedError

# How many files a sample may have.
_MAX_FILES_A_SAMPLE = 8
# Nothing is written to a disk.
_IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf"), "UPLOAD_ERROR_ON_BAD_CTE": True}
_NUM_NAMED = 3


@dataclass(frozen=True)
class UploadedSample:
    """The files of one sample.

    Attributes:
        sample_id: The `{id}` in their names.
        files: The file content of each filter.
        channels: The channel of each filter if one file holds all: see `components.images.decode.Reading`.
        problem: Why the sample cannot be used, as far as names show; empty if nothing is wrong with them.
    """

    sample_id: str
    files: Mapping[str, bytes]
    channels: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Receives a request's body.

    Raises:
        RefusedError: With status 413 if it is too large.
    """
    return b"".join([chunk async for chunk in _limited(request, max_bytes)])


async def read_files(request: Request, max_bytes: int, max_samples: int) -> dict[str, bytes]:
    """Receives the files of a multipart form, by their names. Other fields are ignored.

    Raises:
        RefusedError: If the form is too large, damaged or incomplete, or two files have the same name.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise RefusedError(415, "Expected the image files as multipart/form-data")
    files: dict[str, bytes] = {}
    is_whole = False

    def take(file: File) -> None:
        name = (file.file_name or b"").decode()
        if name in files:
            raise RefusedError(400, f"Two files have the name {name!r}")
        if len(files) == _MAX_FILES_A_SAMPLE * max_samples:
            raise RefusedError(413, f"Expected at most {max_samples} samples in one request")
        file.file_object.seek(0)
        files[name] = file.file_object.read()

    def end() -> None:
        nonlocal is_whole
        is_whole = True

    try:
        parser = FormParser("multipart/form-data", None, take, end, options.get(b"boundary"), config=_IN_MEMORY)
        async for chunk in _limited(request, max_bytes):
            parser.write(chunk)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError) as error:
        raise RefusedError(400, f"The form cannot be read: {error}") from None
    if not is_whole:
        raise RefusedError(400, "The form is incomplete: expected its closing boundary")
    return files


async def _limited(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise RefusedError(413, f"Expected at most {max_bytes} bytes in one request")
        yield chunk


def accepted_names(image_names: ImageNames) -> list[ImageNames]:
    """The accepted naming patterns: the given one.

    By default, a file of any format for each stain, such as `<Id>_red.tif`, or one file whose metadata names the stains.
    """
    if image_names.pattern != COMPETITION_NAMES.pattern or image_names.filters:
        return [image_names]
    suffixes = (SUFFIXES[0], ".ome.tif", ".ome.tiff", *SUFFIXES[1:])
    patterns = [f"{stem}{suffix}" for stem in ("{id}_{filter}", "{id}") for suffix in suffixes]
    return [ImageNames(pattern, stains=image_names.stains) for pattern in patterns]


def group_samples(
    files: Mapping[str, bytes], accepted: Sequence[ImageNames], filters: Sequence[str]
) -> tuple[list[UploadedSample], list[str]]:
    """Groups files into samples by their names.

    Args:
        files: The files.
        accepted: The accepted patterns, in order of precedence.
        filters: The filters to take.

    Returns:
        The samples, sorted by their ids, and the names of the files that belong to none.

    Raises:
        RefusedError: With status 422 if there is no sample, or a sample has two files of the same filter.
    """
    left, samples = set(files), dict[str, UploadedSample]()
    for image_names in accepted:
        try:
            found = image_names.by_sample(left)
        except ValueError as error:
            raise RefusedError(422, str(error)) from None
        for sample_id, names in found.items():
            if sample_id in samples:
                raise RefusedError(422, f"{min(names.values())} is not the only image of sample {sample_id}: rename it")
            contents = {name: files[file] for name, file in by_filter(names, filters).items()}
            samples[sample_id] = UploadedSample(sample_id, contents, image_names.channels, unusable_id(sample_id))
            left -= set(names.values())
    if not samples:
        raise RefusedError(
            422, f"Expected files with names such as {accepted[0].example()}. Received: {sorted(files)[:_NUM_NAMED]}"
        )
    return [samples[sample_id] for sample_id in sorted(samples)], sorted(left)
