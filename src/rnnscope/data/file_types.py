"""Files that are not text, recognized by their first bytes, and how to convert them."""

OFFICE = (".docx", ".odt", ".epub", ".pptx", ".xlsx", ".ods", ".odp")
IMAGE = ("an image", "tesseract FILE OUTPUT")
SOUND = ("audio or video", "")
PACKED = "a compressed file"
SUFFIXES = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz"}  # that are read
TYPES = {
    b"%PDF-": ("a PDF", "pdftotext FILE"),
    b"\xd0\xcf\x11\xe0": ("an old Office document", "libreoffice --headless --convert-to txt:Text FILE"),
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"), IMAGE),
    **dict.fromkeys((*SUFFIXES, b"7z\xbc\xaf", b"Rar!\x1a", b"(\xb5/\xfd", b"\x1f\x9d"), (PACKED, "unpack it")),
    **dict.fromkeys((b"ID3\x03", b"ID3\x04", b"OggS\0", b"fLaC\0"), SOUND),
    b"\x7fELF": ("a program", ""),
    b"SQLite format 3\0": ("an SQLite database", "export a table as CSV"),
    b"PAR1\x15": ("a Parquet file", "export it as JSON lines"),
    b"\x93NUMPY": ("an array of NumPy", ""),
    **dict.fromkeys((b"\x80\x03", b"\x80\x04\x95", b"\x80\x05\x95"), ("a pickle of Python", "")),
}


def not_text(first: bytes, name: str) -> tuple[str, str] | None:
    """Return what a file is and how to convert it (empty if it cannot be), or None unless its first bytes rule out text."""
    if first.isascii() and 0 not in first:
        return None
    if first.startswith(b"PK\x03\x04") and name.lower().endswith(OFFICE):
        return "an office document or e-book", "pandoc FILE -t plain -o FILE.txt"
    if first[257:262] == b"ustar":
        return "a tar archive", "unpack it"
    suffix = next((suffix for magic, suffix in SUFFIXES.items() if first.startswith(magic)), None)
    if suffix and not name.lower().endswith(suffix):
        return PACKED, f"unpack it, or give it the suffix {suffix}"
    return next((found for magic, found in TYPES.items() if first.startswith(magic)), None)
