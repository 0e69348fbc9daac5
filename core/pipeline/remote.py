"""What it means for the user when a service on the network does not do its work, and whether to try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipecat.utils.errors import ErrorCategory, classify_http_status_code

from animacy.core.errors import AnimacyError

LONGEST_WAIT = 60.0
"""Seconds. A service that wants to be left alone for longer is given up: nobody waits for a character so long."""


class RemoteError(AnimacyError):
    """A service on the network did not do its work.

    Parameters:
        message, remedy: what is wrong, and what to do about it; no keys, no requests.
        category: why, in Pipecat's terms.
        retry_after: seconds that the service asked to be left alone, if it did.
    """

    def __init__(
        self,
        message: str,
        remedy: str,
        category: ErrorCategory = ErrorCategory.UNKNOWN,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, remedy)
        self.category = category
        self.retry_after = retry_after

    @property
    def lasts(self) -> bool:
        """Whether trying again is of no use."""
        return (
            self.category.is_permanent
            or self.category is ErrorCategory.QUOTA
            or (self.retry_after or 0.0) > LONGEST_WAIT
        )


def refused(service: str, role: str, status: int, *, detail: str = "", retry_after: float | None = None) -> RemoteError:
    """What an HTTP status of a service means.

    Parameters:
        service: as people call it.
        role: the recipe's section whose settings are meant, such as "stt".
        status: of the answer, 400 or more.
        detail: what the service said of it; must hold no secret.
        retry_after: seconds, as by `retry_after_of`.
    """
    said = f": {detail}" if detail else ""
    category = classify_http_status_code(status)
    match category:
        case ErrorCategory.AUTHENTICATION:
            message, remedy = "does not accept the key", f"set the variable that {role}.api_key names"
        case ErrorCategory.AUTHORIZATION:
            message, remedy = f"does not allow this with the key{said}", "see what the account and its key may do"
        case ErrorCategory.QUOTA:
            message, remedy = f"wants to be paid{said}", "see the account's balance"
        case ErrorCategory.RATE_LIMIT:
            message = "has had too many requests"
            wait = "wait" if retry_after is None else f"wait {math.ceil(retry_after)} s, as it asks"
            remedy = f"{wait}, or raise the account's limit"
        case ErrorCategory.INVALID_REQUEST:
            message, remedy = f"does not take the settings{said}", f"correct the recipe's {role} section"
        case _:
            message, remedy = f"answered with status {status}{said}", "see the service's own status page or log"
    return RemoteError(f"{service} {message}", remedy, category, retry_after)


def unreachable(service: str, role: str, url: str, error: BaseException | None = None) -> RemoteError:
    """The service's address leads nowhere."""
    how = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
    remedy = f"see whether it runs, and {role}.base_url"
    return RemoteError(f"{service} {how} at {url}", remedy, ErrorCategory.CONNECTIVITY)


def broken(service: str, *, detail: str = "") -> RemoteError:
    """A connection ended that should have gone on. `detail` must hold no secret."""
    said = f": {detail}" if detail else ""
    remedy = "see the network, and the service's own status page or log"
    return RemoteError(f"the connection to {service} broke{said}", remedy, ErrorCategory.CONNECTIVITY)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3); None without a valid one."""
    value = headers.get("retry-after") or headers.get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
