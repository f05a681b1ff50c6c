"""Alerts by e-mail (SMTP, RFC 5321). TLS is on; a message sent twice carries the same Message-ID, by which mail programs tell it."""

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage

from worker.alerts.base import Alert
from worker.errors import AlertError
from worker.items import StepContext
from worker.settings import Settings

#: 454 is a temporary failure of authentication (RFC 4954, 6), though smtplib raises it like a wrong password.
_TEMPORARY = range(400, 500)


class EmailChannel:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        """One mail to the team, and where others are named for partner-managed accounts one to them with those."""
        partners = self._settings.smtp_partner_to
        apart = [one for one in alerts if one.routed == "partner"] if partners else []
        mails = [(self._settings.smtp_to, [one for one in alerts if one not in apart], key), (partners, apart, f"{key}-partner")]
        try:
            self._send([self._mail(to, told, name) for to, told, name in mails if told])
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise _refused(codes[0], "refused every recipient", "SCORESYNC_SMTP_TO") from None
        except smtplib.SMTPResponseException as error:
            # the server's own words may hold addresses or the user name
            what = "SCORESYNC_SMTP_USERNAME and _PASSWORD" if isinstance(error, smtplib.SMTPAuthenticationError) else "the SCORESYNC_SMTP_ settings"
            raise _refused(error.smtp_code, "refused the message", what) from None
        except smtplib.SMTPNotSupportedError:
            raise AlertError("The mail server offers no STARTTLS or no login: check SCORESYNC_SMTP_SECURITY.", permanent=False) from None
        except (smtplib.SMTPException, OSError) as error:
            raise AlertError(f"The mail server could not be reached ({type(error).__name__}).", permanent=False) from None

    def _mail(self, to: str, alerts: Sequence[Alert], key: str) -> EmailMessage:
        rules = list(dict.fromkeys(one.rule for one in alerts))
        mail = EmailMessage()
        mail["Subject"] = f"[scoresync] {len(alerts)}: {', '.join(rules)}"[:200]
        mail["From"], mail["To"] = self._settings.smtp_from, to
        mail["Message-ID"] = f"<{key}@scoresync.invalid>"
        mail["X-Scoresync-Delivery"] = key
        mail.set_content("\n".join(f"{one.on_} {one.rule} {one.account_id} {one.whom}\n  {one.text}\n" for one in alerts))
        return mail

    def _send(self, mails: Sequence[EmailMessage]) -> None:
        found = self._settings
        context = ssl.create_default_context(cafile=str(found.smtp_ca_file) if found.smtp_ca_file else None)
        with self._connect(context) as server:
            if found.smtp_security == "starttls":
                server.starttls(context=context)
            if found.smtp_username:
                server.login(found.smtp_username, found.smtp_password.get_secret_value() if found.smtp_password else "")
            for mail in mails:
                server.send_message(mail)

    def _connect(self, context: ssl.SSLContext) -> smtplib.SMTP:
        found = self._settings
        if found.smtp_security == "tls":
            return smtplib.SMTP_SSL(found.smtp_host, found.smtp_port, timeout=found.alert_timeout_s, context=context)
        return smtplib.SMTP(found.smtp_host, found.smtp_port, timeout=found.alert_timeout_s)


def _refused(code: int, what: str, setting: str) -> AlertError:
    return AlertError(f"The mail server {what} ({code}): check {setting}.", permanent=code not in _TEMPORARY)


def missing_setting(settings: Settings) -> str:
    """The first variable without which no mail can be sent; empty = all there is."""
    needed = {"SCORESYNC_SMTP_HOST": settings.smtp_host, "SCORESYNC_SMTP_FROM": settings.smtp_from, "SCORESYNC_SMTP_TO": settings.smtp_to}
    return next((name for name, value in needed.items() if not value), "")


def open_channel(ctx: StepContext) -> EmailChannel:
    if missing := missing_setting(ctx.settings):
        raise AlertError(f"{missing} is not set.", permanent=False)
    return EmailChannel(ctx.settings)
