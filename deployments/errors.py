"""Errors of media, experts, artifacts and the fleet.

HuggingGPTError                (model_catalog.errors)
└── DeploymentError       500  deployment
    ├── MediaError        415  unsupported_media     a file that is not what it should be
    │   └── TooLargeError 413  too_large             bytes, pixels, seconds or frames over a limit
    ├── InputError        422  invalid_input         an expert cannot use what a task gave it
    ├── ExpertError       502  expert_failed         an expert failed on a good input
    │   └── UncheckedError 502 unchecked             it cannot be told here whether a model can be loaded
    ├── StoppedError      499  stopped               the call was cancelled while it ran
    ├── NotFoundError     404  not_found             no artifact under that path
    ├── StorageError      503  storage               where files lie cannot be reached, or not be written
    │   └── FullError     507  storage_full          there is no room for another file
    ├── LinkError         422  link                  a web link that is not followed, or gives nothing of use
    ├── HistoryError      503  history               the database of history and keys cannot be used now
    └── FleetError        503  fleet                 an expert cannot be deployed here
        ├── NoMemberError 404  not_found             no expert of that name is in the fleet
        └── BusyError     503  busy                  there is no room for an expert in time
"""

from model_catalog.errors import HuggingGPTError


class DeploymentError(HuggingGPTError):
    """Root of this package's errors."""

    code = "deployment"


class MediaError(DeploymentError):
    """A file is not of a kind that can be used; the decoder's own words are never repeated."""

    code = "unsupported_media"
    status = 415


class TooLargeError(MediaError):
    """A file is over a limit of bytes, pixels, seconds or frames."""

    code = "too_large"
    status = 413


class InputError(DeploymentError):
    """An expert cannot use what a task gave it."""

    code = "invalid_input"
    status = 422


class ExpertError(DeploymentError):
    """An expert failed on a good input."""

    code = "expert_failed"
    status = 502


class UncheckedError(ExpertError):
    """It cannot be told here whether a model can be loaded."""

    code = "unchecked"


class StoppedError(DeploymentError):
    """A call was cancelled while it ran."""

    code = "stopped"
    status = 499


class NotFoundError(DeploymentError):
    """No artifact lives under that path."""

    code = "not_found"
    status = 404


class HistoryError(DeploymentError):
    """The database that keeps history and keys cannot be used now."""

    code = "history"
    status = 503


class LinkError(DeploymentError):
    """A web link is not followed, or gives nothing that can be used."""

    code = "link"
    status = 422


class StorageError(DeploymentError):
    """Where the files lie cannot be reached, or cannot be written."""

    code = "storage"
    status = 503


class FullError(StorageError):
    """There is no room for another file."""

    code = "storage_full"
    status = 507


class FleetError(DeploymentError):
    """An expert cannot be deployed here."""

    code = "fleet"
    status = 503


class NoMemberError(FleetError):
    """No expert of that name is in the fleet."""

    code = "not_found"
    status = 404


class BusyError(FleetError):
    """There will be no room for an expert in time.

    Attributes:
        wait_s: after how many seconds there probably is.

    """

    code = "busy"

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s
