"""A new org: its organisation record, four users, two registered apps."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.salesforce.sandbox.ids import checksum, make_id

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State

ORG_ID15 = "00D5e000000KQ2e"
ORG_ID = ORG_ID15 + checksum(ORG_ID15)
# alias, last name, first name, title, admin, only by API
USERS = (
    ("admin", "Admin", "Sandbox", "System Administrator", True, False),
    ("integration", "Integration", "Scoresync", "Integration User", False, True),
    ("csm", "佐藤", "結衣", "Customer Success Manager", False, False),
    ("sales", "高橋", "健", "Account Executive", False, False),
)
APPS = (("3MVG9sandboxIntegrationApp", "Scoresync", "integration"), ("3MVG9sandboxAdminApp", "Scoresync Setup", "admin"))


def username(alias: str) -> str:
    """The login name of a sandbox user."""
    return f"{alias}@sandbox.example.com"


def create_org(state: State) -> None:
    """Runs inside the transaction that creates the file."""
    users = [make_id("005", number) for number in range(1, len(USERS) + 1)]
    state.db.write("INSERT INTO sb_sequence VALUES ('User', ?)", (len(USERS),))
    stamp = state.stamp()
    marks = (stamp, users[0], stamp, users[0], stamp)
    columns = '"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"'
    profile, standard = make_id("00e", 1), make_id("00e", 2)
    for profile_id, name in ((profile, "System Administrator"), (standard, "Standard User")):
        state.db.write(f'INSERT INTO "Profile" ("Id", "Name", {columns}) VALUES (?, ?, ?, ?, ?, ?, ?)', (profile_id, name, *marks))
    state.db.write("INSERT INTO sb_sequence VALUES ('Profile', 2)")
    for user_id, (alias, last, first, title, admin, api_only) in zip(users, USERS, strict=True):
        state.db.write(
            'INSERT INTO "User" ("Id", "Username", "LastName", "FirstName", "Email", "Alias", "Title", "IsActive", "UserType", "ProfileId", '
            f'"TimeZoneSidKey", "LocaleSidKey", "EmailEncodingKey", "LanguageLocaleKey", {columns}) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, 1, 'Standard', ?, 'Asia/Tokyo', 'ja_JP', 'UTF-8', 'ja', ?, ?, ?, ?, ?)",
            (user_id, username(alias), last, first, username(alias), alias[:8], title, profile if admin else standard, *marks),
        )
        values = (user_id, alias, secrets.token_urlsafe(9), secrets.token_hex(12), int(admin), int(api_only))
        state.db.write("INSERT INTO sb_user VALUES (?, ?, ?, ?, ?, ?)", values)
    state.db.write(
        f'INSERT INTO "Organization" ("Id", "Name", "LanguageLocaleKey", "DefaultLocaleSidKey", "TimeZoneSidKey", "FiscalYearStartMonth", '
        f'"OrganizationType", "IsSandbox", "InstanceName", {columns}) '
        "VALUES (?, ?, 'ja', 'ja_JP', 'Asia/Tokyo', 4, ?, 1, 'SBX1', ?, ?, ?, ?, ?)",
        (ORG_ID, "Sandbox Org", "Enterprise Edition", *marks),
    )
    _register_apps(state, dict(zip((row[0] for row in USERS), users, strict=True)))


def _register_apps(state: State, users: dict[str, str]) -> None:
    # One key pair serves both apps: JWT logins are signed with it by tests and demo.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    for client_id, name, alias in APPS:
        values = (client_id, secrets.token_hex(32).upper(), name, users[alias], public, private)
        state.db.write("INSERT INTO sb_app VALUES (?, ?, ?, ?, ?, ?)", values)
