"""What a store holds in its folder."""

from pathlib import Path

_ROOMS = (
    "blobs",
    "uploads",
    "images",
    "audios",
    "videos",
    "files",
)  # what else lies there is not the store's


def kept(folder: Path) -> list[Path]:
    """Every file of a store, but no blob that has a record: records, parts of uploads, what is nobody's."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and {*_ROOMS} & {*path.parts})
    recorded = {path.parent / path.name.partition(".")[0] for path in files if "." in path.name}
    return [path for path in files if path not in recorded]


def stored(folder: Path, path: str) -> bytes:
    """The bytes of the file that a store holds under a path."""
    (record,) = folder.glob(f"blobs/*/*.{Path(path).stem}.*")
    return (record.parent / record.name.partition(".")[0]).read_bytes()
