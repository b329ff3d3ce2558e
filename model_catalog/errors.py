"""Errors of the catalog, and the root of the project's exception tree.

HuggingGPTError                500  internal
└── CatalogError               500  catalog
    ├── UnknownTaskError       422  unknown_task
    ├── UnknownModelError      404  unknown_model
    ├── InvalidCardError       500  invalid_card
    ├── HubError               503  hub
    │   └── GatedModelError    403  gated
    ├── UnsizedError           503  unsized
    └── ProfileError           500  profile
"""


class HuggingGPTError(Exception):
    """Root of every error this project raises on purpose.

    Attributes:
        code: a stable name for programs.
        status: the HTTP status a door answers with.
        message: one sentence for people that says what to do.

    """

    code = "internal"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class CatalogError(HuggingGPTError):
    """Something is wrong with what the catalog was asked or given."""

    code = "catalog"


class UnknownTaskError(CatalogError):
    """A task type that the registry does not have."""

    code = "unknown_task"
    status = 422


class UnknownModelError(CatalogError):
    """A model id that the catalog does not have."""

    code = "unknown_model"
    status = 404


class InvalidCardError(CatalogError):
    """A model card that does not fit the registry or its schema."""

    code = "invalid_card"


class HubError(CatalogError):
    """The Hub cannot be asked, or answers with something else than what it was asked for."""

    code = "hub"
    status = 503


class GatedModelError(HubError):
    """A model whose files the Hub gives only to those who accepted its terms."""

    code = "gated"
    status = 403


class UnsizedError(CatalogError):
    """A model of which nothing tells how much memory it needs, or a GPU with room for none."""

    code = "unsized"
    status = 503


class ProfileError(CatalogError):
    """A profile that there is none of, or that cannot be used."""

    code = "profile"
