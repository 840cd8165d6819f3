"""Receives files in memory, and groups them to samples by their names."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from components.artifacts.image_names import ImageNames, by_filter
from components.artifacts.sample_ids import id_problem
from components.serving.server.limits import RefusedError

# The files that a sample may come in.
_MAX_FILES_A_SAMPLE = 4


@dataclass(frozen=True)
class UploadedSample:
    """The files of one sample.

    Attributes:
        sample_id: What their names begin with.
        files: The content for each filter.
        problem: Why the sample cannot be used, as far as names tell; empty if nothing is wrong with them.
    """

    sample_id: str
    files: dict[str, bytes]
    problem: str


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Receives a request's body.

    Raises:
        RefusedError: With status 413 if it is too large.
    """
    return b"".join([chunk async for chunk in _limited(request, max_bytes)])


async def read_files(request: Request, max_bytes: int, max_samples: int) -> dict[str, bytes]:
    """Receives the files of a multipart form, by their names. Fields that are no files are ignored.

    Raises:
        RefusedError: If the form is too large or damaged, or two files have the same name.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise RefusedError(415, "Expected the image files as multipart/form-data")
    parser = MultiPartParser(request.headers, _limited(request, max_bytes), max_files=_MAX_FILES_A_SAMPLE * max_samples)
    parser.spool_max_size = max_bytes + 1  # so that nothing is written to a disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(400, f"The form cannot be read: {error.message}") from None
    else:
        return await _contents(form)
    finally:
        for file in parser._files_to_close_on_error:  # with that of a part that has no end, which is not in the form
            file.close()


async def _contents(form: FormData) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for _, upload in form.multi_items():
        if isinstance(upload, UploadFile):
            name = upload.filename or ""
            if name in files:
                raise RefusedError(400, f"Two files have the name {name!r}")
            files[name] = await upload.read()
    return files


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise RefusedError(413, f"Expected at most {max_bytes} bytes in one request")
        yield chunk


def group_samples(
    files: dict[str, bytes], image_names: ImageNames, filters: Sequence[str]
) -> tuple[list[UploadedSample], list[str]]:
    """Groups files to samples by their names.

    Returns:
        The samples, sorted by their ids, and the names of the files that belong to none.

    Raises:
        RefusedError: With status 422 if there is no sample, or two files are the same filter of one.
    """
    try:
        found = image_names.by_sample(files)
    except ValueError as error:
        raise RefusedError(422, str(error)) from None
    if not found:
        raise RefusedError(422, f"Expected files with names such as {image_names.example()}. Received: {sorted(files)[:3]}")
    samples = []
    for sample_id in sorted(found):
        problem = id_problem(sample_id)
        wanted = {name: files[file] for name, file in by_filter(found[sample_id], filters).items()}
        samples.append(UploadedSample(sample_id, wanted, f"its id {problem}" if problem else ""))
    used = {file for of_sample in found.values() for file in of_sample.values()}
    return samples, sorted(files.keys() - used)
