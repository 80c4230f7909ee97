"""What glibc does with freed memory. All settings are here, because they overrule each other: first text, then training.

With another allocator none of this does anything.
"""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # names of malloc.h


def keep_blocks_of_text() -> None:
    """Keep the memory of one block of text for the next, where glibc would return it and fetch it again page by page.

    These are the highest limits that glibc comes to by itself, 32 and 64 MB: encoding takes a fifth less time.
    """
    _set(M_MMAP_MAX, 65_536)  # the default: an earlier training of this process changed it
    _set(M_MMAP_THRESHOLD, 1 << 25)
    _set(M_TRIM_THRESHOLD, 1 << 26)


def return_freed_memory() -> None:
    """Return what was kept, before something else takes memory of its own."""
    _glibc("malloc_trim", 0)


def keep_freed_memory() -> None:
    """Keep what a step of a training frees for the next one. Called after the text, whose memory is better given back.

    oneDNN's workspace of a window is one piece of 34 MB (1 x 512 units, 32 x 64 tokens), which glibc maps and unmaps at each
    step: 8,800 page faults, a fifth of the step; a third with 2 x 512 and 64 x 64. So no piece is mapped on its own, and a
    gigabyte may lie free (mallopt(3)).
    """
    _set(M_MMAP_MAX, 0)
    _set(M_TRIM_THRESHOLD, 1 << 30)


def _set(name: int, value: int) -> None:
    _glibc("mallopt", name, value)


def _glibc(function: str, *arguments: int) -> None:
    with suppress(AttributeError, OSError, TypeError):  # the C library is not glibc
        getattr(ctypes.CDLL(None), function)(*arguments)
