"""Errors of the controller.

HuggingGPTError                     (model_catalog.errors)
└── ControllerError            500  controller
    ├── RequestError           400  invalid_request     a request that cannot be read
    │   ├── PlanError          422  invalid_plan        a plan of which no task is valid
    │   ├── TooManyTasksError  422  too_many_tasks      a plan over the limit of tasks
    │   ├── AttachmentError    422  invalid_attachment  a file the request names cannot be used
    │   ├── BodyTooLargeError  413  body_too_large      a request body over its limit
    │   └── ForbiddenError     403  forbidden           a host, origin or field that is not allowed
    ├── NoExpertError          503  no_expert           no model can run a task here
        ├── StoreError             503  store               the files cannot be reached now
    ├── DeadlineError          504  deadline            a task or run took too long
    └── SettingsError          500  settings            settings that cannot be used
"""

from model_catalog.errors import HuggingGPTError


class ControllerError(HuggingGPTError):
    """Root of this package's errors."""

    code = "controller"


class RequestError(ControllerError):
    """A request that cannot be read."""

    code = "invalid_request"
    status = 400


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


class BodyTooLargeError(RequestError):
    """A request body over its limit."""

    code = "body_too_large"
    status = 413


class ForbiddenError(RequestError):
    """A host, an origin or a field that the settings do not allow."""

    code = "forbidden"
    status = 403


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


class SettingsError(ControllerError):
    """Settings that cannot be used."""

    code = "settings"
