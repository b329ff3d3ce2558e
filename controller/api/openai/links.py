"""Links: answers name files by their paths; a chat page needs addresses, and shows pictures where they stand.

A path becomes a Markdown link or picture; one that already is the target of a link becomes an address.
"""

import re
from collections.abc import Sequence

from model_catalog.tasks import Modality

_STORED = (
    r"/(?:images|audios|videos|files)/[0-9a-f]{32}\.[a-z0-9]{1,5}|/examples/[a-z0-9]{1,40}\.(?:png|jpg|wav)"
)
_PATH = re.compile(rf"(\]\(<?)?(?<![\w/.-])`?({_STORED})(?![\w-])`?")
_KINDS = {"images": Modality.IMAGE, "audios": Modality.AUDIO, "videos": Modality.VIDEO}
_PICTURE = re.compile(r".*\.(?:png|jpg)")
_LONGEST = 300
"""The most characters that are held back while they may become a path."""


class Links:
    """Puts addresses for paths into a text that comes in pieces."""

    def __init__(self, base: str) -> None:
        """Begin; ``base`` is this server's address, without a slash at its end."""
        self._base = base
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; gives what is known by now. A path has no blanks, so that any ends the waiting."""
        self._held += text
        end = max(self._held.rfind(" "), self._held.rfind("\n")) + 1
        end = max(end, len(self._held) - _LONGEST)
        ready, self._held = self._held[:end], self._held[end:]
        return linked(ready, self._base)

    def rest(self) -> str:
        """What was held back, when the text has ended."""
        ready, self._held = self._held, ""
        return linked(ready, self._base)


def linked(text: str, base: str) -> str:
    """A whole text with addresses for paths."""

    def link(match: re.Match[str]) -> str:
        target, path = match[1], match[2]
        if target:
            return f"{target}{base}{path}"
        _, folder, name = path.split("/")
        picture = folder == "images" or (folder == "examples" and _PICTURE.fullmatch(name))
        return f"{'!' if picture else ''}[{_KINDS.get(folder, name)}]({base}{path})"

    return _PATH.sub(link, text)


def latest(texts: Sequence[str], modality: Modality) -> list[str]:
    """The path of the last stored file of one modality that some texts name; none where they name none."""
    for text in reversed(texts):
        paths = [match[2] for match in _PATH.finditer(text)]
        found = [path for path in paths if _KINDS.get(path.split("/")[1]) is modality]
        if found:
            return found[-1:]
    return []


def unlinked(text: str, base: str) -> str:
    """A text of an earlier answer with paths for this server's addresses, the form that brains know."""
    target = rf"!?\[[^\]\n]{{0,100}}\]\({re.escape(base)}({_STORED})\)"
    return re.sub(target, r"\1", text).replace(f"{base}/", "/")
