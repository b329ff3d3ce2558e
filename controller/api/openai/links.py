"""Links: answers name files by their paths; a chat page needs addresses, and shows pictures where they stand.

A path becomes a Markdown link or picture; one that already is the target of a link becomes an address.
"""

import re
from collections.abc import Sequence

from controller.api.address import Address
from controller.signing import unsigned
from model_catalog.tasks import Modality

_STORED = (
    r"/(?:images|audios|videos|files)/[0-9a-f]{32}\.[a-z0-9]{1,5}|/examples/[a-z0-9]{1,40}\.(?:png|jpg|wav)"
)
_PATH = re.compile(rf"(\]\(<?)?(?<![A-Za-z0-9_/.-])`?({_STORED})(?![A-Za-z0-9_-])`?")
"""A path, with what is written around it; letters of other scripts may stand right beside one."""

_OPEN = re.compile(r"(?:\](?:\(<?)?)?`?(?:/[a-z]*(?:/[a-z0-9.]*`?)?)?\Z")
"""The end of a text that may be the begin of a path."""

_KINDS = {"images": Modality.IMAGE, "audios": Modality.AUDIO, "videos": Modality.VIDEO}
_PICTURE = re.compile(r".*\.(?:png|jpg)")
_LONGEST = 64
"""The most characters of a path with what is written around it; longer ends are none."""


class Links:
    """Puts addresses for paths into a text that comes in pieces."""

    def __init__(self, address: Address) -> None:
        """Begin; ``address`` makes the addresses."""
        self._address = address
        self._last = ""  # the character before what is held: it tells whether a path may begin there
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; gives what is known by now: all but an end that may be the begin of a path."""
        self._held += text
        match = _OPEN.search(self._held, max(0, len(self._held) - _LONGEST))
        return self._given(match.start() if match else len(self._held))

    def rest(self) -> str:
        """What was held back, when the text has ended."""
        return self._given(len(self._held))

    def _given(self, end: int) -> str:
        """What is held up to a place, or up to the end of the path that stands across it."""
        before, whole = len(self._last), self._last + self._held
        end += before
        end = next((m.end() for m in _PATH.finditer(whole, before) if m.start() < end < m.end()), end)
        told = linked(whole[:end], self._address, before)
        self._last, self._held = whole[:end][-1:], whole[end:]
        return told


def linked(text: str, address: Address, start: int = 0) -> str:
    """A whole text with addresses for paths, from a place on; what stands before it counts too."""
    pieces = []
    for match in _PATH.finditer(text, start):
        pieces += [text[start : match.start()], _link(match, address)]
        start = match.end()
    return "".join([*pieces, text[start:]])


def _link(match: re.Match[str], address: Address) -> str:
    target, path = match[1], match[2]
    if target:
        return f"{target}{address.of(path)}"
    _, folder, name = path.split("/")
    picture = folder == "images" or (folder == "examples" and _PICTURE.fullmatch(name))
    return f"{'!' if picture else ''}[{_KINDS.get(folder, name)}]({address.of(path)})"


def pathed(text: str, address: Address) -> str:
    """A whole text whose paths stand as they can be opened: on a server with keys they are signed."""
    return _PATH.sub(lambda match: match[0].replace(match[2], address.of(match[2])), text)


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
    text = unsigned(text)
    target = rf"!?\[[^\[\]\n]{{0,100}}\]\({re.escape(base)}({_STORED})\)"
    return re.sub(target, r"\1", text).replace(f"{base}/", "/")
