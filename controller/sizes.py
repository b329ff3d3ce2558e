"""Bytes in words."""


def size(count: int | None) -> str:
    """Bytes in words, of powers of ten as disks are sold: ``1.6 GB``; ``?`` where nobody knows."""
    if count is None:
        return "?"
    for unit, power in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= power:
            return f"{count / power:.1f} {unit}" if count < 100 * power else f"{count / power:.0f} {unit}"
    return f"{count} B"
