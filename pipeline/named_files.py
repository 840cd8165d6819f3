"""Files that the command line names: read and written with words for what may be wrong with them."""

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
        option: Which option names it.
        made_by: The command that writes such a file.

    Raises:
        ValueError: If there is none.
    """
    if not path.exists():
        raise ValueError(f"{option}: expected a file. There is none at {path}: `{made_by}` writes it")
    refuse_folder(path, option)
    return path.read_text(encoding="utf-8")


def refuse_folder(path: Path, option: str) -> None:
    """Refuses a folder where a file is wanted.

    Raises:
        ValueError: If it is one.
    """
    if path.is_dir():
        raise ValueError(f"{option}: expected a file. {path} is a folder")


def refuse_missing_folder(path: Path, option: str) -> None:
    """Refuses a file to write whose folder does not exist.

    Raises:
        ValueError: If it does not.
    """
    if not path.parent.is_dir():
        raise ValueError(
            f"{option}: expected a file in a folder that exists. There is no {path.parent}: make it, or name another"
        )
