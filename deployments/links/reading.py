"""What the links deployment tells of a link that was read; the bytes went to the artifact deployment."""

from pydantic import BaseModel, ConfigDict

from deployments.account import Artifact


class Read(BaseModel):
    """What was read from a link.

    Attributes:
        artifact: the file it was stored as; of a page its readable text.
        url: where it came from, after all redirects.
        title: of a page; empty for other files.
        cut: whether the text is the beginning of a longer one.

    """

    model_config = ConfigDict(frozen=True)

    artifact: Artifact
    url: str
    title: str = ""
    cut: bool = False
