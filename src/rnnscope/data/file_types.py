"""Files that are not text, recognized by their first bytes, and how to convert them."""

OFFICE = (".docx", ".odt", ".epub", ".pptx", ".xlsx", ".ods", ".odp")
IMAGE = ("an image", "tesseract FILE OUTPUT")
SOUND = ("audio or video", "")
UNPACK = ("a compressed file", "unpack it, or give it the suffix of its format: .gz, .bz2, .xz, .zip")
TYPES = {
    b"%PDF-": ("a PDF", "pdftotext FILE"),
    b"PK\x03\x04": UNPACK,
    b"\xd0\xcf\x11\xe0": ("an old Office document", "libreoffice --headless --convert-to txt:Text FILE"),
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"), IMAGE),
    **dict.fromkeys((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!\x1a", b"(\xb5/\xfd"), UNPACK),
    **dict.fromkeys((b"ID3\x03", b"ID3\x04", b"OggS\0", b"fLaC\0"), SOUND),
    b"\x7fELF": ("a program", ""),
    b"SQLite format 3\0": ("an SQLite database", "export a table as CSV"),
    b"PAR1\x15": ("a Parquet file", "export it as JSON lines"),
}


def not_text(first: bytes, name: str) -> tuple[str, str] | None:
    """Return what a file is and how to convert it (empty if it cannot be), or None unless its first bytes rule out text."""
    if first.isascii() and 0 not in first:
        return None
    if first.startswith(b"PK\x03\x04") and name.lower().endswith(OFFICE):
        return "an office document or e-book", "pandoc FILE -t plain -o FILE.txt"
    return next((found for magic, found in TYPES.items() if first.startswith(magic)), None)
