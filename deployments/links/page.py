"""Page: the readable text of a page, taken out in a process of its own that a hostile page may ruin.

It has little memory and time, no secrets and nothing to fetch with; what it answers is data.
"""

import base64
import codecs
import re
import resource
import signal
from collections.abc import Mapping
from typing import Any

from deployments.aside import serve

SECONDS = 15
"""How long it may take."""

MEMORY = 1 << 30
"""The most bytes of address space."""

_LONGEST_TITLE = 200
_KEPT = "\n\t\u200c\u200d"  # the latter two join letters
_HEAD = 4096  # bytes that may name the encoding
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE
)
_ENCODINGS = re.compile(
    r"utf-8(-sig)?|utf-16(-[lb]e)?|ascii|iso8859-\d{1,2}|cp\d{3,4}|koi8-[rtu]|mac-roman|tis-620"
    r"|big5(hkscs)?|gbk|gb2312|gb18030|euc_(jp|kr)|shift_jis|iso2022_jp"
)
"""Those that texts have and that take no longer than the text is long, by Python's names."""

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def decoded(data: bytes, charset: str) -> str:
    """The text that bytes are: by their mark, by what the server or the page names, else UTF-8 or Latin."""
    marked = [name for mark, name in _MARKS.items() if data.startswith(mark)]
    declared = [match[1].decode() for match in _DECLARED.finditer(data[:_HEAD])][:1]
    for name in (*marked, charset, *declared, "utf-8"):
        if name and (encoding := _known(name)) is not None:
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                continue
    return data.decode("cp1252", errors="replace")


def _known(name: str) -> str | None:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    if found == "iso8859-1":
        return "cp1252"  # as browsers do
    return found if _ENCODINGS.fullmatch(found) else None


def extracted(html: str) -> tuple[str, str]:
    """The title and the readable text of a page; empty where it has none."""
    import trafilatura

    tree = trafilatura.load_html(html)
    if tree is None:
        return "", ""
    title = " ".join((tree.findtext(".//title") or "").split())[:_LONGEST_TITLE]
    text = trafilatura.extract(tree, include_comments=False, include_tables=True)
    return title, (text or trafilatura.html2txt(tree) or "").strip()


def read(data: bytes, charset: str, is_page: bool, most: int) -> dict[str, Any]:
    """The text of a page or a plain text, its beginning where it is longer than ``most`` characters."""
    text = decoded(data, charset)
    title, text = extracted(text) if is_page else ("", text.strip())
    text = "".join(char for char in text if char.isprintable() or char in _KEPT)
    short = text[:most]
    if len(text) > most:  # at a blank, where there is one near
        short = short[: max(short.rfind(" "), short.rfind("\n"), most - 200)].rstrip()
    return {"title": title, "text": short, "cut": len(text) > most}


def _work(request: dict[str, Any]) -> Mapping[str, Any]:
    data = base64.b64decode(request["data"])
    return read(data, request["charset"], request["is_page"], request["most"])


def _bounded() -> None:
    """Hold this process to its limits; the kernel ends it where it passes one."""
    signal.alarm(SECONDS)
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    _bounded()
    serve(_work)
