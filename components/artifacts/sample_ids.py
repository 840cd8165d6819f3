"""The valid ids of samples, and the names of their stored files."""

import hashlib
import re
import unicodedata

# Safe on every file system and object store, so used unchanged.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MAX_READABLE = 80


def clean_id(written: str) -> str:
    """Normalises an id: without outer spaces, in Unicode's normal form C. File names on a Mac are in form D."""
    return unicodedata.normalize("NFC", written).strip()


def unusable_id(sample_id: str) -> str:
    """Why a sample cannot be used, by its id alone; empty if it can."""
    problem = id_problem(sample_id)
    return f"its id {problem}" if problem else ""


def id_problem(sample_id: str) -> str:
    """The problem of an id, which may contain any letters, digits, punctuation and spaces, and '/' between folders.

    Returns:
        The text to follow "Id" or "its id" in a message; empty if the id is valid.
    """
    for character in sample_id:
        category = unicodedata.category(character)
        if category == "Cs":  # how Python reads bytes in another encoding
            return "is not in UTF-8: rename the file"
        if not character.isprintable() and category != "Zs":
            name = unicodedata.name(character, "a control character")
            return f"has the character U+{ord(character):04X} ({name}), which cannot be seen: remove it"
    if "\\" in sample_id:
        return "has a backslash: expected '/' between folders"
    if any(not part or part.startswith(".") for part in sample_id.split("/")):
        return "is empty, or has a part that is empty or begins with a dot: hidden files are not read"
    return ""


def stored_name(sample_id: str) -> str:
    """The prefix of a sample's stored files: the id itself, or its readable part and a hash.

    Plain ids do not begin with `_`, so that no two ids share a name.
    """
    if _PLAIN.fullmatch(sample_id):
        return sample_id
    ascii_only = unicodedata.normalize("NFKD", sample_id).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", ascii_only).strip("_")[:_MAX_READABLE]
    return f"_{readable}-{hashlib.sha256(sample_id.encode()).hexdigest()[:16]}"
