"""Builds the documentation site into outputs/site/html, and fails on a broken link.

    python docs/build_site.py

The documents are copied to outputs/site/pages, each to its place in the repository, with the files that they link to, so that
every link is the same there as in the repository. The API reference, a page for each package, is made from the docstrings.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "outputs" / "site"
PAGES = SITE / "pages"
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'(?:\]\(|src=")(?!https?:)([^)"\s]+)')


def documents() -> list[Path]:
    """All Markdown files of the site."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def links(document: Path) -> list[str]:
    """The links of a document to files and headings, without those in examples of code."""
    return _LINK.findall(_FENCED.sub("", document.read_text(encoding="utf-8")))


def copy_with_linked(document: Path) -> None:
    """Copies a document to the pages, and what it links to."""
    names = [link.partition("#")[0] for link in links(document)]
    linked = [(document.parent / name).resolve() for name in names if name]
    for path in {document, *linked}:
        target = PAGES / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def write_reference() -> list[str]:
    """Writes a page for each package, with all its modules, and returns the names of the packages."""
    packages = {path.parent for top in ("components", "pipeline") for path in (ROOT / top).rglob("__init__.py")}
    names = []
    for package in sorted(packages):
        modules = [path for path in sorted(package.glob("*.py")) if not path.stem.startswith("__")]
        if modules:
            names.append(".".join(package.relative_to(ROOT).parts))
            page = PAGES / "api" / f"{names[-1]}.md"
            page.parent.mkdir(parents=True, exist_ok=True)
            directives = "\n\n".join(f"::: {names[-1]}.{module.stem}" for module in modules)
            page.write_text(f"# {names[-1]}\n\n{directives}\n", encoding="utf-8")
    return names


def main() -> None:
    """Copies, writes and builds."""
    shutil.rmtree(SITE, ignore_errors=True)
    for document in documents():
        copy_with_linked(document)
    reference = ", ".join(f'{{ "{name}" = "api/{name}.md" }}' for name in write_reference())
    config = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")
    config = config.replace("\n]\n\n[project.theme]", f'\n    {{ "API" = [{reference}] }},\n]\n\n[project.theme]')
    (SITE / "zensical.toml").write_text(config, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    sys.exit(subprocess.run(command, cwd=SITE, check=False).returncode)


if __name__ == "__main__":
    main()
