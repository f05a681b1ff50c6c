"""A mail server for tests: SMTP with STARTTLS and login, on a port of its own, with a certificate it signs itself."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Mailbox:
    """What the server got and how it answers. `answers`: command -> line it says instead of doing it."""

    port: int = 0
    ca_file: Path = Path()
    user: tuple[str, str] = ("scoresync", "canary-password")
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)


@contextmanager
def mail_server(folder: Path) -> Iterator[Mailbox]:
    box = Mailbox(ca_file=folder / "smtp.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(box.ca_file))

    class Handler(_Session):
        mailbox, tls = box, context

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield box
        server.shutdown()


class _Session(socketserver.StreamRequestHandler):
    """One connection, command by command (RFC 5321)."""

    mailbox: Mailbox
    tls: ssl.SSLContext
    timeout = 30

    def handle(self) -> None:
        self.secure, self.to = False, list[str]()
        self.say("220 test ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            command = line.split(" ", 1)[0].upper()
            if command in self.mailbox.answers:
                self.say(self.mailbox.answers[command])
            elif not getattr(self, f"do_{command}", self.unknown)(line):
                break

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def say(self, *lines: str) -> bool:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        return True

    def unknown(self, _: str) -> bool:
        return self.say("502 unknown")

    def do_EHLO(self, _: str) -> bool:
        return self.say("250-test", "250-AUTH PLAIN", *([] if self.secure else ["250-STARTTLS"]), "250 8BITMIME")

    def do_STARTTLS(self, _: str) -> bool:
        self.say("220 go ahead")
        try:
            self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        except ssl.SSLError:  # the client did not trust the certificate
            return False
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.secure = True
        return True

    def do_AUTH(self, line: str) -> bool:
        _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        good = self.secure and (user, password) == self.mailbox.user
        self.mailbox.logins.append(good)
        return self.say("235 welcome" if good else "535 canary-password is wrong")

    def do_MAIL(self, _: str) -> bool:
        self.to = []
        return self.say("250 ok")

    def do_RCPT(self, line: str) -> bool:
        self.to.append(line.split("<")[1].split(">")[0])
        return self.say("250 ok")

    def do_DATA(self, _: str) -> bool:
        self.say("354 go on")
        lines = []
        while (row := self.rfile.readline()) != b".\r\n":
            lines.append(row.removeprefix(b".") if row.startswith(b"..") else row)
        self.mailbox.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))  # type: ignore[arg-type]
        self.mailbox.recipients.append(self.to)
        self.mailbox.encrypted.append(self.secure)
        return self.say("250 taken")

    def do_RSET(self, _: str) -> bool:
        return self.say("250 ok")

    def do_QUIT(self, _: str) -> bool:
        self.say("221 bye")
        return False


def _certificate(path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
