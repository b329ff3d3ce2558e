"""Files that came inside requests lately: chat pages send whole conversations, with pictures, each turn."""

import hashlib
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from controller.api.media import keep
from controller.files import elsewhere
from controller.identity import caller
from controller.outcome import Artifact

if TYPE_CHECKING:
    from controller.api.app import Backend

_MOST = 1_000

LINK_S = 600.0
"""How long a web link of a conversation is not fetched anew."""


class Recent:
    """Which stored file holds which bytes, of the latest ones; the same bytes are stored once."""

    def __init__(self) -> None:
        self._paths: OrderedDict[bytes, str] = OrderedDict()
        self._links: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def keep(self, backend: "Backend", data: bytes, name: str = "") -> Artifact:
        """The stored file of some bytes, as ``media.keep`` makes it where there is none.

        Raises:
            BodyTooLargeError: it is over the limit of uploads.
            MediaError: it is empty, of a kind that is not taken, or broken.

        """
        whose = f"{caller().owner}\0{name.rpartition('.')[2]}"  # one key's files are not another's
        digest = hashlib.sha256(data + whose.encode()).digest()
        if digest in self._paths:
            try:
                return await backend.store.stat(self._paths[digest])
            except Exception:
                self._paths.pop(digest, None)  # it was removed meanwhile
        artifact = await keep(backend, data, name)
        self._paths[digest] = artifact.path
        while len(self._paths) > _MOST:
            self._paths.popitem(last=False)
        return artifact

    async def located(self, backend: "Backend", value: str, host: str) -> Artifact:
        """The file that a message names, as ``Controller.located``; a web link is fetched once in a while.

        Raises:
            AttachmentError: it is no such file, or a link that gives none.
            RequestError: it tries to leave the folders that are served.
            NotFoundError: nothing lies there.

        """
        if not elsewhere(value, host):
            return await backend.controller.located(value, host)
        key = caller().owner, value.strip()
        path, until = self._links.get(key, ("", 0.0))
        if time.monotonic() < until:
            with suppress(Exception):  # it was removed meanwhile
                return await backend.controller.cluster.stat(path)
        artifact = await backend.controller.located(value, host)
        self._links[key] = artifact.path, time.monotonic() + LINK_S
        self._links.move_to_end(key)
        while len(self._links) > _MOST:
            self._links.popitem(last=False)
        return artifact
