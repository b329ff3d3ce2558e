"""Files that came inside requests lately: chat pages send whole conversations, with pictures, each turn."""

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from controller.api.media import keep
from controller.identity import caller
from controller.outcome import Artifact

if TYPE_CHECKING:
    from controller.api.app import Backend

_MOST = 1_000


class Recent:
    """Which stored file holds which bytes, of the latest ones; the same bytes are stored once."""

    def __init__(self) -> None:
        self._paths: OrderedDict[bytes, str] = OrderedDict()

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
