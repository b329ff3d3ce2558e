"""Link: a web address, read once; what is checked here is what is connected to.

There is one parser, httpx2's, whose result is used for the check, for the name that is resolved, for TLS and
for the request. What two parsers are known to read in two ways is refused before it is parsed.
"""

import re
from dataclasses import dataclass

from httpx2 import URL, InvalidURL

from deployments.errors import LinkError
from deployments.links import addresses

LONGEST = 2_000
"""The most characters of a link."""

_SHOWN = 120
_LINK = re.compile(r"https?://\S{1,2000}", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}

_OWN = frozenset(
    {
        "arpa",
        "corp",
        "home",
        "internal",
        "intranet",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "onion",
        "private",
    }
)
"""Ends of names that are no names of the web; most are never asked of the public name system."""

_OTHER_SERVICES = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669}
    | {6679, 6697, 10080, 11211}
)
"""Ports from 1024 on where no web server is expected: those that browsers refuse (the Fetch standard), and
those of caches."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that may be followed, if its name leads to public addresses.

    Attributes:
        url: as it is asked for, without a fragment.
        host: the name or address that it is at, in lower case and without a dot at its end.
        port: the port.

    """

    url: URL
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """What the ``Host`` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.url.scheme] else f"{host}:{self.port}"

    def pinned(self, address: addresses.Address) -> URL:
        """The same at one address, so that nobody resolves the name again."""
        return self.url.copy_with(host=str(address))

    def to(self, location: str) -> "Link":
        """Where a redirect leads.

        Raises:
            LinkError: nowhere that may be followed.

        """
        _plain(location)
        try:
            link = read(str(self.url.join(location)))
        except (InvalidURL, ValueError):
            raise LinkError("It redirects to what is no web link.") from None
        if self.url.scheme == "https" and link.url.scheme != "https":
            raise LinkError("It redirects from https to http, which is not followed.")
        return link


def is_link(text: str) -> bool:
    """Whether a text is one web link and nothing else, by its look."""
    return _LINK.fullmatch(text.strip()) is not None


def shown(text: str) -> str:
    """A link, fit to be quoted in a message."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def read(text: str) -> Link:
    """Read a link.

    Raises:
        LinkError: it is none that may be followed, whatever its name leads to.

    """
    text = text.strip()
    if len(text) > LONGEST:
        raise LinkError(f"It has over {LONGEST:,} characters; give a shorter one.")
    _plain(text)
    try:
        url = URL(text)
    except (InvalidURL, ValueError):
        raise LinkError("It is no web address; write it as https://host/path.") from None
    if url.scheme not in _PORTS:
        raise LinkError("Only http and https links are followed.")
    if url.userinfo or "@" in str(url.netloc, "ascii"):
        raise LinkError("It holds a user name or password; give it without.")
    host = url.raw_host.decode("ascii").removesuffix(".")
    _check_host(host)
    port = url.port or _PORTS[url.scheme]
    if not (port in (80, 443) or 1024 <= port <= 65535) or port in _OTHER_SERVICES or url.port == 0:
        raise LinkError(f"Port {port} is none of web servers; 80, 443 and those from 1024 on are followed.")
    return Link(url.copy_with(host=host, fragment=None), host, port)


def _plain(text: str) -> None:
    """Refuse what parsers are known to read in different ways.

    Raises:
        LinkError: it holds a blank, a backslash or a character that is not shown.

    """
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in text):
        raise LinkError("It holds a blank, a backslash or a hidden character; write it without.")


def _check_host(host: str) -> None:
    """Refuse what is neither an address in its usual form nor a name of the public web.

    Raises:
        LinkError: it is not.

    """
    if addresses.read(host) is not None and "%" not in host:
        return
    *_, last = labels = host.split(".")
    if _NUMBER.fullmatch(last):
        raise LinkError("It writes an address in an unusual way; write it as four decimal numbers.")
    if len(labels) < 2 or last in _OWN or len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise LinkError("It names no host of the public web.")
