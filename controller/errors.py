"""Errors of the controller.

HuggingGPTError                     (model_catalog.errors)
└── ControllerError            500  controller
    ├── RequestError           400  invalid_request     a request that cannot be read
    │   ├── PlanError          422  invalid_plan        a plan of which no task is valid
    │   ├── TooManyTasksError  422  too_many_tasks      a plan over the limit of tasks
    │   ├── AttachmentError    422  invalid_attachment  a file the request names cannot be used
    │   ├── UnfitModelError    400  unfit_model         a named model that does not do the task
    │   ├── ModelNotFoundError 404  model_not_found     a model that does not run here under that name
    │   ├── UnknownRunError    404  unknown_run         a run that is not here, or no more
    │   ├── UnknownConversationError 404  unknown_conversation  a conversation that is not here, or no more
    │   ├── IdempotencyError   422  idempotency_mismatch  a key that another request has
    │   ├── BodyTooLargeError  413  body_too_large      a request body over its limit
    │   └── ForbiddenError     403  forbidden           a host, origin or field that is not allowed
    ├── UnknownKeyError        401  invalid_api_key     no API key, or none that is good here
    ├── ScopeError             403  missing_scope       an API key that is not for this
    ├── LimitError             429  key_limit           an API key over a limit of its own
    ├── KeysError              503  keys                API keys cannot be looked up now
    ├── NoExpertError          503  no_expert           no model can run a task here
    ├── StoreError             503  store               the files cannot be reached now
    ├── TooManyRunsError       429  too_many_runs       as many runs as may be are under way
    ├── OverloadedError        429  overloaded          more is asked than can be done soon; nothing was begun
    ├── TaskError              500  task_failed         the one task asked for failed, with its own code
    ├── GoneError              499  client_gone         the client went away
    ├── DeadlineError          504  deadline            a task or run took too long
    └── SettingsError          500  settings            settings that cannot be used
"""

from model_catalog.errors import HuggingGPTError


class ControllerError(HuggingGPTError):
    """Root of this package's errors."""

    code = "controller"


class RequestError(ControllerError):
    """A request that cannot be read.

    Attributes:
        param: the field of the request that is at fault, where it is one.

    """

    code = "invalid_request"
    status = 400

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class PlanError(RequestError):
    """A plan of which no task is valid."""

    code = "invalid_plan"
    status = 422


class TooManyTasksError(RequestError):
    """A plan over the limit of tasks."""

    code = "too_many_tasks"
    status = 422


class AttachmentError(RequestError):
    """A file that the request names cannot be used."""

    code = "invalid_attachment"
    status = 422


class UnfitModelError(RequestError):
    """A model that the request names does not do the task it is named for."""

    code = "unfit_model"


class ModelNotFoundError(RequestError):
    """A model that the request names does not run here."""

    code = "model_not_found"
    status = 404


class UnknownRunError(RequestError):
    """No run has that id, or it ended long ago."""

    code = "unknown_run"
    status = 404


class UnknownConversationError(RequestError):
    """No conversation has that id, or it was forgotten."""

    code = "unknown_conversation"
    status = 404


class IdempotencyError(RequestError):
    """A key that was used for another request."""

    code = "idempotency_mismatch"
    status = 422


class BodyTooLargeError(RequestError):
    """A request body over its limit."""

    code = "body_too_large"
    status = 413


class ForbiddenError(RequestError):
    """A host, an origin or a field that the settings do not allow."""

    code = "forbidden"
    status = 403


class UnknownKeyError(ControllerError):
    """A request without an API key, or with none that is good here."""

    code = "invalid_api_key"
    status = 401


class ScopeError(ControllerError):
    """An API key that may not be used for this."""

    code = "missing_scope"
    status = 403


class LimitError(ControllerError):
    """An API key over a limit of its own; after ``wait_s`` seconds it is worth another try."""

    code = "key_limit"
    status = 429

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class KeysError(ControllerError):
    """The deployment that knows the API keys does not answer."""

    code = "keys"
    status = 503


class NoExpertError(ControllerError):
    """No model can run a task on this cluster now."""

    code = "no_expert"
    status = 503


class StoreError(ControllerError):
    """The deployment that holds the files does not answer."""

    code = "store"
    status = 503


class DeadlineError(ControllerError):
    """A task or a whole run took longer than it may."""

    code = "deadline"
    status = 504


class TooManyRunsError(ControllerError):
    """As many runs as may be are under way."""

    code = "too_many_runs"
    status = 429


class OverloadedError(ControllerError):
    """More is asked than can be done soon; nothing of the request was begun.

    Attributes:
        wait_s: after how many seconds it is worth another try.

    """

    code = "overloaded"
    status = 429

    def __init__(self, message: str, wait_s: float = 1.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class TaskError(ControllerError):
    """The one task that a client asked for failed; it has the code, status and wait of its failure."""

    code = "task_failed"

    def __init__(self, message: str, code: str, status: int, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.wait_s = wait_s


class GoneError(ControllerError):
    """The client went away; nobody reads the answer."""

    code = "client_gone"
    status = 499


class SettingsError(ControllerError):
    """Settings that cannot be used."""

    code = "settings"
