"""Addresses of stored files, as a client reaches them: on a server with keys they are signed."""

from dataclasses import dataclass

from fastapi import Request

from controller.signing import Signer


@dataclass(frozen=True, slots=True)
class Address:
    """What addresses are made with.

    Attributes:
        base: the server's address as its client named it, without a slash at its end.
        signer: signs those of files; None on a server without keys.

    """

    base: str = ""
    signer: Signer | None = None

    def of(self, path: str) -> str:
        """The address of the file under a path."""
        return f"{self.base}{self.signer.signed(path) if self.signer else path}"


def address(request: Request) -> Address:
    """What a request's answers make their addresses with."""
    return Address(str(request.base_url).rstrip("/"), getattr(request.state, "signer", None))
