"""Alerts by e-mail, to a real mail server on this host: TLS, login, a key that stays the same, and errors that say what to do and hold no secret."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.worker.smtp import Mailbox, mail_server
from worker.alerts.base import Alert
from worker.alerts.email import EmailChannel
from worker.errors import AlertError
from worker.settings import Settings

DROP = Alert("usage_anomaly", "A1", date(2026, 12, 1), "経費精算の利用が減っています", recipient="005A", routed="csm")
PARTNER = Alert("p1_open", "A2", date(2026, 12, 1), "重大な障害が続いています", recipient="005P", routed="partner")


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    with mail_server(tmp_path) as box:
        yield box


def channel(mailbox: Mailbox, **row: Any) -> EmailChannel:
    base: dict[str, Any] = {
        "smtp_host": "127.0.0.1", "smtp_port": mailbox.port, "smtp_ca_file": mailbox.ca_file, "smtp_username": "scoresync",
        "smtp_password": "canary-password", "smtp_from": "scoresync@example.com", "smtp_to": "cs@example.com, lead@example.com",
    }  # fmt: skip
    return EmailChannel(Settings(**(base | row)))


def test_one_mail_tells_all_of_them_over_tls_to_everyone(mailbox: Mailbox) -> None:
    channel(mailbox).send("k1", [DROP, PARTNER])
    (mail,) = mailbox.mails
    assert (mailbox.recipients, mailbox.encrypted, mailbox.logins) == ([["cs@example.com", "lead@example.com"]], [True], [True])
    assert mail["Subject"] == "[scoresync] 2: usage_anomaly, p1_open"
    body = mail.get_content().replace("\r\n", "\n")
    assert "2026-12-01 usage_anomaly A1 → 005A (csm)\n  経費精算の利用が減っています\n" in body
    assert "2026-12-01 p1_open A2 → 005P (partner)" in body


def test_a_mail_sent_again_has_the_same_message_id(mailbox: Mailbox) -> None:
    for _ in range(2):
        channel(mailbox).send("k1", [DROP])
    assert [mail["Message-ID"] for mail in mailbox.mails] == ["<k1@scoresync.invalid>"] * 2


def test_cs74_partner_managed_accounts_are_told_to_the_partners_people_alone(mailbox: Mailbox) -> None:
    channel(mailbox, smtp_partner_to="partner@example.com").send("k1", [DROP, PARTNER])
    told = {tuple(to): mail.get_content() for to, mail in zip(mailbox.recipients, mailbox.mails, strict=True)}
    assert set(told) == {("cs@example.com", "lead@example.com"), ("partner@example.com",)}
    assert "A2" not in told[("cs@example.com", "lead@example.com")]
    assert "A1" not in told[("partner@example.com",)]


@pytest.mark.parametrize(
    ("given", "answers", "permanent", "says"),
    [
        ({"smtp_password": "wrong"}, {}, True, "SCORESYNC_SMTP_USERNAME"),
        ({}, {"RCPT": "550 no such user canary-password"}, True, "SCORESYNC_SMTP_TO"),
        ({}, {"RCPT": "451 try later"}, False, "SCORESYNC_SMTP_TO"),
        ({}, {"DATA": "452 full"}, False, "(452)"),
        ({"smtp_ca_file": None}, {}, False, "SSLCertVerificationError"),
        ({}, {"EHLO": "250 test"}, False, "STARTTLS"),
    ],
)
def test_what_the_server_refuses_is_said_without_its_words(
    mailbox: Mailbox, given: dict[str, Any], answers: dict[str, str], permanent: bool, says: str
) -> None:
    mailbox.answers = answers
    with pytest.raises(AlertError) as told:
        channel(mailbox, **given).send("k1", [DROP])
    assert says in str(told.value)
    assert told.value.permanent == permanent
    assert "canary" not in str(told.value)
    assert told.value.__cause__ is None
    assert not mailbox.mails


def test_a_server_that_is_down_is_tried_again() -> None:
    box = Mailbox(port=1)  # nobody listens there
    with pytest.raises(AlertError) as told:
        channel(box, smtp_ca_file=None).send("k1", [DROP])
    assert not told.value.permanent
