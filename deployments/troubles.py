"""The Hub's errors in one sentence each, with what to do."""

import errno
import os
from collections.abc import Iterator

TOKEN = "HUGGINGFACE_ACCESS_TOKEN"  # noqa: S105 - a setting's name
"""The setting that holds the operator's token."""


def told(error: BaseException, model: str, revision: str, token: bool) -> str:
    """What went wrong with a model of the Hub, for the operator; ``token`` is whether one was sent."""
    for cause in _causes(error):
        if sentence := _hub(cause, model, revision, token) or _network(cause) or _disk(cause, model):
            return sentence
    words = " ".join(str(error).split())[:300]
    return f"{model} cannot be had from the Hub: {type(error).__name__}: {words}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _hub(error: BaseException, model: str, revision: str, token: bool) -> str | None:
    """Of an answer of the Hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        if token:
            return (
                f"{model} is gated, and the account of {TOKEN} has no access yet; "
                "accept its terms on its page at the Hub with that account."
            )
        return f"{model} is gated; accept its terms on its page at the Hub, and set {TOKEN} to your token."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{model} has no revision {revision!r}; give its card one that exists."
    if isinstance(error, errors.RepositoryNotFoundError):
        reads = "may not read it" if token else "is needed to read it"
        return f"There is no model {model} on the Hub, or it is private and a token {reads}; check its name."
    if isinstance(error, errors.HFValidationError):
        return f"{model!r} is no name of a model; it is to be owner/name."
    if isinstance(error, errors.HfHubHTTPError):
        return _status(error.response.status_code, model)
    return None


def _status(status: int, model: str) -> str:
    if status == 401:
        return f"The Hub does not know the token; set {TOKEN} to a valid one, or to none."
    if status == 403:
        return f"The Hub forbids access to {model}; the token of {TOKEN} needs the right to read it."
    if status == 429:
        return f"The Hub answers that there were too many requests (429); try again later, with {TOKEN} set."
    return f"The Hub at {_endpoint()} answers with an error ({status}); try again later."


def _network(error: BaseException) -> str | None:
    """Of the way to the Hub."""
    import httpx2

    if not isinstance(error, httpx2.TransportError):
        return None
    how = "does not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
    if isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError):
        how = "broke off the connection"
    return (
        f"The Hub at {_endpoint()} {how}; check the network and the proxy, or HF_ENDPOINT, "
        "or give the card a path to a folder with the model."
    )


def _disk(error: BaseException, model: str) -> str | None:
    """Of this node's disk."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full; free some of it for {model}, or let HF_HOME name a folder on a larger one."
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{error.filename} cannot be written; let HF_HOME name a folder that this user may write."
    return None


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")
