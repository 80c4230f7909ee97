"""How glibc treats freed memory. All settings are here because they override each other: first for text, then for training.

With another allocator, these functions do nothing.
"""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # from malloc.h


def keep_blocks_of_text() -> None:
    """Keep the memory of a block of text for the next one; glibc would return it, and fetch it again page by page.

    These limits, 32 and 64 MB, are the highest that glibc sets by itself: encoding takes a fifth less time.
    """
    _set(M_MMAP_MAX, 65_536)  # the default: an earlier training of this process changed it
    _set(M_MMAP_THRESHOLD, 1 << 25)
    _set(M_TRIM_THRESHOLD, 1 << 26)


def return_freed_memory() -> None:
    """Return the memory that was kept to the system."""
    _glibc("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Keep the memory that a training step frees for the next one. Call this after the text is encoded and its memory returned.

    oneDNN's workspace of a window is one block of 34 MB (1 x 512 units, 32 x 64 tokens), which glibc maps and unmaps at each
    step: 8,800 page faults, a fifth of the step; a third with 2 x 512 and 64 x 64. So no block is mapped by itself, and up to
    a gigabyte may stay free (mallopt(3)).
    """
    _set(M_MMAP_MAX, 0)
    _set(M_TRIM_THRESHOLD, 1 << 30)


def _set(name: int, value: int) -> None:
    _glibc("mallopt", name, value)


def _glibc(function: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        getattr(ctypes.CDLL(None), function)(*arguments)
