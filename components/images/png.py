"""Whether a file is a PNG, by how it begins; and what to do about one that is not, or is of another kind than is taken."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXPORT_ADVICE = "export it as an 8-bit greyscale PNG (docs/own-data.md has a command for that)"
_OTHER_FORMATS = {
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
}


def other_than_png(data: bytes) -> str:
    """What a file is instead of a PNG, such as `a TIFF file: ...`, whatever its name says; empty for a PNG."""
    if data.startswith(PNG_SIGNATURE):
        return ""
    if not data:
        return "an empty file"
    for magic, kind in _OTHER_FORMATS.items():
        if data.startswith(magic):
            return f"a {kind} file: {EXPORT_ADVICE}"
    return f"no PNG file: it begins with {data[:8]!r}"
