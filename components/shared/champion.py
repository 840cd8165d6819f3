"""The champion: which version of a model is served, by the pointer `<serving_root>/<model name>/champion.json`."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, PositiveInt

from components.shared import storage

_CHAMPION = "champion.json"


@dataclass(frozen=True)
class Champion:
    """The version that a pointer names.

    Attributes:
        version: Its number.
        uri: Its folder.
        model_fingerprint: The fingerprint of the training that made it.
        evaluation_fingerprint: The fingerprint of the evaluation that blessed it.
        generation: Opaque text that identifies the pointer's present content: what `crown` swaps on.
    """

    version: int
    uri: str
    model_fingerprint: str
    evaluation_fingerprint: str
    generation: str


class _Pointer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: PositiveInt
    model_fingerprint: str
    evaluation_fingerprint: str


def find_champion(serving_root: str, model_name: str) -> Champion | None:
    """The champion of a model; None where nothing was pushed yet.

    Raises:
        ValueError: If the pointer is there but cannot be read.
    """
    uri = pointer_uri(serving_root, model_name)
    found = storage.read_with_generation(uri)
    if not found:
        return None
    content, generation = found
    try:
        pointer = _Pointer.model_validate_json(content)
    except ValueError as error:
        raise ValueError(
            f"{uri}: expected JSON with version, model_fingerprint and evaluation_fingerprint. If it is damaged, write the "
            f"version that shall be served into it. {error}"
        ) from None
    version_uri = storage.join(serving_root, model_name, str(pointer.version))
    return Champion(uri=version_uri, generation=generation, **pointer.model_dump())


def crown(champion: Champion, serving_root: str, model_name: str) -> None:
    """Makes a version the champion, if the pointer's generation is still the one that `champion` carries.

    Raises:
        SwappedMeanwhileError: If another version was made the champion in the meantime.
    """
    pointer = _Pointer(
        version=champion.version,
        model_fingerprint=champion.model_fingerprint,
        evaluation_fingerprint=champion.evaluation_fingerprint,
    )
    data = (pointer.model_dump_json(indent=2) + "\n").encode()
    storage.swap(pointer_uri(serving_root, model_name), data, champion.generation)


def pointer_uri(serving_root: str, model_name: str) -> str:
    """The file that says which version is the champion."""
    return storage.join(serving_root, model_name, _CHAMPION)
