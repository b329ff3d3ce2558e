"""Addresses of files that open without a key: signed, and good for a while.

Whoever has such an address can read that one file until it ends, as a page does that shows it. The signature
is HMAC-SHA256 over the path and the end, with a secret that the database keeps; a new secret ends them all.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

DAY_S = 86400
DAYS = 7
"""For how many days an address is good at least; it ends at the turn of a day, so that those told on one day
are the same, and caches keep what they lead to."""

FOLDERS = ("images", "audios", "videos", "files", "examples")
"""The folders whose files are served."""

FILE = re.compile(rf"/(?:{'|'.join(FOLDERS)})/[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}")
"""Paths that are signed: those of single files, and nothing else."""

QUERY = r"\?expires=\d{1,12}(?:&(?:amp;)?|\\u0026)signature=[A-Za-z0-9_-]{43}"
"""What a signature looks like behind a path, in words that a client may send back."""

_QUERY = re.compile(QUERY)


class Signer:
    """Signs paths, and tells whether a signature is good."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        """Sign with a secret; ``clock`` tells seconds since the epoch."""
        self._secret = secret
        self._clock = clock

    def signed(self, path: str) -> str:
        """A path with its end and signature behind it; one that is no file's stays as it is."""
        if FILE.fullmatch(path) is None:
            return path
        expires = (int(self._clock()) // DAY_S + DAYS + 1) * DAY_S
        return f"{path}?expires={expires}&signature={self._signature(path, expires)}"

    def good(self, path: str, query: str) -> bool:
        """Whether a query is the path's own signature, and its end has not come."""
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=8) if query.count("&") < 8 else []
        expires = [value for name, value in fields if name == "expires"]
        signature = [value for name, value in fields if name == "signature"]
        if FILE.fullmatch(path) is None or len(expires) != 1 or len(signature) != 1:
            return False
        if re.fullmatch(r"[0-9]{1,12}", expires[0]) is None:
            return False
        right = self._signature(path, int(expires[0]))
        return hmac.compare_digest(signature[0].encode(), right.encode()) and self._clock() < int(expires[0])

    def _signature(self, path: str, expires: int) -> str:
        told = hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(told).rstrip(b"=").decode()


def unsigned(text: str) -> str:
    """A text without the signatures that stand in it, as brains read it."""
    return _QUERY.sub("", text)
