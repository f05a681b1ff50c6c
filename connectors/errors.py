"""What can go wrong at a connector, sorted by what the caller does next.

Every error carries facts as attributes and says them in its text; none carries a secret or a record body.
"""

from datetime import datetime


class ConnectorError(Exception):
    """A connector could not do what was asked. `remedy` says who must do what."""

    def __init__(self, text: str, *, remedy: str = "", code: str = "", status: int | None = None) -> None:
        super().__init__(f"{text} {remedy}".strip() if remedy else text)
        self.text, self.remedy, self.code, self.status = text, remedy, code, status


class Transient(ConnectorError):
    """The same call may succeed later: time-outs, 5xx, locks, concurrency. Raised only after `calls.py` gave up retrying; the item backs off."""


class QuotaSpent(ConnectorError):
    """The CRM's daily limit, or our share of it, is used up. The run pauses until `resume_at` (UTC; null = unknown, one hour is used)."""

    def __init__(self, text: str, *, resume_at: datetime | None = None, remedy: str = "", code: str = "", status: int | None = None) -> None:
        super().__init__(text, remedy=remedy, code=code, status=status)
        self.resume_at = resume_at


class NotAllowed(ConnectorError):
    """Credentials or permissions are missing, expired beyond refresh, or revoked. The run pauses until an admin acts."""


class NotReachable(ConnectorError):
    """No connection could be made, or the CRM is in maintenance. The run pauses and tries again by itself."""


class Misfit(ConnectorError):
    """The CRM's schema does not hold what the mapping names: object or field gone, hidden, too short. Names each; an admin must act."""


class Refused(ConnectorError):
    """The CRM refused this one record or request for good. The record is set aside; its neighbours go on."""


class Gone(Refused):
    """The record was deleted or merged away in the CRM."""
