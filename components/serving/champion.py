"""The champion: the served version of a model, which the pointer `<serving_root>/<model name>/champion.json` names."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, PositiveInt

from components import storage
from components.artifacts.damage import to_json, without_checksum

_CHAMPION = "champion.json"
# How many former champions the pointer remembers. Fewer versions are kept.
_NUM_FORMER = 100


@dataclass(frozen=True)
class Champion:
    """The version that a pointer names.

    Attributes:
        version: Its number.
        uri: Its folder.
        model_fingerprint: The fingerprint of the training that made it.
        evaluation_fingerprint: The fingerprint of the evaluation that blessed it.
        generation: Opaque text that identifies the pointer's content. `promote` swaps only if it is unchanged.
        former: The earlier champions; None if they were not recorded.
    """

    version: int
    uri: str
    model_fingerprint: str
    evaluation_fingerprint: str
    generation: str
    former: tuple[int, ...] | None = None

    def has_been(self, version: int) -> bool:
        """Whether a version is or was the champion, as far as is known."""
        if self.former is None:
            return version <= self.version
        return version == self.version or version in self.former


@dataclass(frozen=True)
class Pointer:
    """A pointer as it was read.

    Attributes:
        uri: Its file.
        champion: The version that it names; None if the pointer is missing or damaged.
        generation: As in `Champion`; empty if there is no pointer.
        damage: Why it cannot be read; empty if it can.
    """

    uri: str
    champion: Champion | None
    generation: str
    damage: str = ""


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: PositiveInt
    model_fingerprint: str
    evaluation_fingerprint: str
    former: tuple[int, ...] | None = None


def find_pointer(serving_root: str, model_name: str) -> Pointer:
    """Reads the pointer of a model, whatever its state."""
    uri = pointer_uri(serving_root, model_name)
    content, generation = storage.read_with_generation(uri) or (b"", "")
    if not generation:
        return Pointer(uri, None, "")
    try:
        found = _Content.model_validate_json(without_checksum(content))
    except ValueError:
        damage = (
            f"{uri} is damaged: expected JSON with version, model_fingerprint and evaluation_fingerprint. Received: "
            f"{content[:80]!r}. To replace it: python -m pipeline models rollback <the version to serve>"
        )
        return Pointer(uri, None, generation, damage)
    version_uri = storage.join(serving_root, model_name, str(found.version))
    return Pointer(uri, Champion(uri=version_uri, generation=generation, **found.model_dump()), generation)


def find_champion(serving_root: str, model_name: str) -> Champion | None:
    """The champion of a model; None if nothing was pushed yet.

    Raises:
        ValueError: If the pointer exists but cannot be read.
    """
    pointer = find_pointer(serving_root, model_name)
    if pointer.damage:
        raise ValueError(pointer.damage)
    return pointer.champion


def promote(champion: Champion, serving_root: str, model_name: str) -> None:
    """Makes a version the champion if the pointer still has the generation `champion.generation`.

    Raises:
        SwappedMeanwhileError: If another version was made the champion in the meantime.
    """
    content = _Content(
        version=champion.version,
        model_fingerprint=champion.model_fingerprint,
        evaluation_fingerprint=champion.evaluation_fingerprint,
        former=champion.former[-_NUM_FORMER:] if champion.former is not None else None,
    )
    data = to_json(content, exclude_none=True)
    storage.swap(pointer_uri(serving_root, model_name), data, champion.generation)


def pointer_uri(serving_root: str, model_name: str) -> str:
    """The file that names the champion."""
    return storage.join(serving_root, model_name, _CHAMPION)
