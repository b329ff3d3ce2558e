"""What a pull would bring, asked of the Hub before anything large is fetched.

Run as a process of its own (``python -m deployments.survey``), as the download is: see ``download``. Of the
files only ``model_index.json`` is fetched, which tells the parts of a pipeline.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import SecretStr

from deployments import aside, checkpoint, store, vetting
from deployments.download import LARGEST_PLAIN, limit_waits
from deployments.errors import ExpertError
from deployments.repository import Repository, cached, fetch, missing, repository_of
from deployments.troubles import told
from deployments.weights import support, weights

AT_ONCE = 8
"""How many models the Hub is asked about at the same time."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A repository as it would be pulled.

    Attributes:
        model: ``owner/name``.
        commit: the one that would be taken; None where nobody can tell.
        files: how many files are needed.
        size: bytes of them.
        missing: bytes that are still to be fetched.
        license: as the Hub says; None where it says nothing.
        gated: whether its terms must be accepted first.
        error: why it cannot be had, in one sentence; None where it can.

    """

    model: str
    commit: str | None = None
    files: int = 0
    size: int = 0
    missing: int = 0
    license: str | None = None
    gated: bool = False
    error: str | None = None


def survey(repositories: Sequence[tuple[str, str | None]], token: SecretStr | None = None) -> list[Coming]:
    """Ask about repositories, each with its revision; what was asked is in the same order.

    Raises:
        ExpertError: the process that asks died.

    """
    if not repositories:
        return []
    asked = [[model, revision or "main"] for model, revision in repositories]
    request = {"repositories": asked, "offline": checkpoint.offline()}
    answer = checkpoint.ask_hub("deployments.survey", request, token, lambda line: None)
    return [Coming(**one) for one in answer["coming"]]


def work(request: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Answer a request: ``{"repositories": [[model, revision]...], "token": ..., "offline": ...}``."""
    limit_waits()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda one: _one(request, one[0], one[1]), request["repositories"])
        return {"coming": [asdict(coming) for coming in found]}


def _one(request: Mapping[str, Any], model: str, revision: str) -> Coming:
    try:
        commit = store.pinned(model, revision) or revision
        if request["offline"]:
            return _here(model, commit)
        return _asked(model, commit, request["token"] or False)
    except ExpertError as error:
        return Coming(model, error=error.message)
    except Exception as error:
        return Coming(model, gated=_gated(error), error=told(error, model, revision, bool(request["token"])))


def _here(model: str, commit: str) -> Coming:
    """What the Hub's cache of this node holds."""
    try:
        return _coming(cached(model, commit), False)
    except ExpertError as error:
        told = f"{error.message} HF_HUB_OFFLINE forbids to fetch it; unset that, and pull it again."
        raise ExpertError(told) from error


def _gated(error: Exception) -> bool:
    from huggingface_hub import errors

    return isinstance(error, errors.GatedRepoError)


def _asked(model: str, revision: str, token: str | bool) -> Coming:
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    info = api.model_info(model, revision=revision, files_metadata=True)
    repository = repository_of(api, model, revision, info)
    if info.gated:
        api.auth_check(model)
    license_name = info.card_data.get("license") if info.card_data else None
    return _coming(repository, token, str(license_name) if license_name else None, bool(info.gated))


def _coming(
    repository: Repository, token: str | bool, license_name: str | None = None, gated: bool = False
) -> Coming:
    plain = [name for name in support(repository.sizes) if repository.sizes[name] <= LARGEST_PLAIN]
    parts = None
    if "model_index.json" in plain:
        fetch(repository, ["model_index.json"], token)
        index = repository.snapshot / "model_index.json"
        vetting.vet(repository.snapshot, [index.name], repository.model)
        parts = vetting.components(index)
        plain = [name for name in plain if "/" not in name or name.partition("/")[0] in parts]
    needed = sorted({*plain, *weights(repository.sizes, parts).files})
    return Coming(
        repository.model,
        repository.commit,
        files=len(needed),
        size=sum(repository.sizes[name] for name in needed),
        missing=missing(repository, needed),
        license=license_name,
        gated=gated,
    )


if __name__ == "__main__":
    aside.serve(work)
