"""Files named on the command line, with clear errors."""

from pathlib import Path


def read_compiled(path: Path) -> str:
    """Reads the file of --file.

    Raises:
        ValueError: If there is none.
    """
    return read_named(path, "--file", f"python -m pipeline compile --output {path}")


def read_named(path: Path, option: str, made_by: str) -> str:
    """Reads a text file.

    Args:
        path: The file.
        option: The option that names it.
        made_by: The command that writes such a file.

    Raises:
        ValueError: If there is none.
    """
    if not path.exists():
        raise ValueError(f"{option}: expected a file, but there is none at {path}: `{made_by}` writes it")
    refuse_folder(path, option)
    return path.read_text(encoding="utf-8")


def refuse_folder(path: Path, option: str) -> None:
    """Refuses a folder in place of a file.

    Raises:
        ValueError: If the path is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{option}: expected a file, but {path} is a folder")


def refuse_missing_folder(path: Path, option: str) -> None:
    """Refuses an output file whose folder does not exist.

    Raises:
        ValueError: If its folder does not exist.
    """
    if not path.parent.is_dir():
        raise ValueError(
            f"{option}: expected a file in an existing folder, but there is no {path.parent}: create it, or give another"
        )
