"""The C library's heap: memory that a model lets go of after each layer stays for the next one.

By default glibc gives free memory at the heap's end back to the kernel as soon as it is more than twice the
largest block seen, and the kernel zeroes it page by page when it is needed again: hundreds of pages for each
text of a batch. Other C libraries are left as they are. See mallopt(3) and malloc_trim(3).
"""

import ctypes
from functools import cache

KEPT_BYTES = 256 << 20
"""Free memory that a process keeps at most at its heap's end."""

BLOCK_BYTES = 32 << 20
"""Smaller blocks come from the heap, larger ones from the kernel; glibc takes no more."""

_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3


@cache
def _library() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def keep() -> bool:
    """Keep what is let go of for what comes next; whether this C library can."""
    library = _library()
    if library is None:
        return False
    limits = ((_TRIM_THRESHOLD, KEPT_BYTES), (_MMAP_THRESHOLD, BLOCK_BYTES))
    return all(library.mallopt(name, size) for name, size in limits)


def trim() -> None:
    """Give what is free back to the kernel once, as after a load."""
    library = _library()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))
