"""Errors of an LLM endpoint.

LlmError                      502  llm              (a DeploymentError)
├── LlmTimeoutError           504  llm_timeout      no token in time
├── LlmAuthError              502  llm_auth         the key is refused (401, 403)
├── LlmRateError              503  llm_rate         too many requests, or no quota left (429)
├── LlmUnavailableError       502  llm_unavailable  5xx, no connection, or cut in mid-stream
├── LlmRefusedError           422  llm_refused      the model refuses, or a filter of the endpoint
├── LlmLengthError            502  llm_length       the answer is over the endpoint's limit of tokens
└── LlmRequestError           502  llm_request      the endpoint takes no such request (another 4xx)
"""

from deployments.errors import DeploymentError


class LlmError(DeploymentError):
    """The LLM endpoint gave no whole answer."""

    code = "llm"
    status = 502


class LlmTimeoutError(LlmError):
    """No token came in time: not the first, or not the next."""

    code = "llm_timeout"
    status = 504


class LlmAuthError(LlmError):
    """The endpoint does not take the key."""

    code = "llm_auth"


class LlmRateError(LlmError):
    """The endpoint takes no more requests now."""

    code = "llm_rate"
    status = 503


class LlmUnavailableError(LlmError):
    """The endpoint failed, cannot be reached, or broke its answer off."""

    code = "llm_unavailable"


class LlmRefusedError(LlmError):
    """The model refused to answer, or a filter of the endpoint kept the answer back."""

    code = "llm_refused"
    status = 422


class LlmLengthError(LlmError):
    """The answer is longer than the endpoint writes."""

    code = "llm_length"


class LlmRequestError(LlmError):
    """The endpoint does not take the request."""

    code = "llm_request"
