"""Logging in: four grants, SOAP login, refusals, expiry, revocation."""

import re
import time
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import LocalHttpAdapter, Rest

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token(box: SandboxProcess, auth: tuple[str, str] | None = None, **form: str) -> requests.Response:
    return requests.post(f"{box.url}/services/oauth2/token", data=form, auth=auth, timeout=20)


def assertion(box: SandboxProcess, key: str | None = None, **claims: Any) -> str:
    given = {"iss": box.client_id, "sub": box.user("integration")["username"], "aud": "https://login.salesforce.com", "exp": int(time.time()) + 170}
    return jwt.encode({**given, **claims}, key or box.private_key, algorithm="RS256")


@pytest.mark.parametrize("basic", [True, False])
def test_client_credentials_by_basic_and_by_form(box: SandboxProcess, basic: bool) -> None:
    form = {} if basic else {"client_id": box.client_id, "client_secret": box.client_secret}
    answer = token(box, auth=box.app() if basic else None, grant_type="client_credentials", **form)
    body = answer.json()
    assert answer.status_code == 200
    assert body["access_token"].startswith("00D5e000000KQ2e!")
    assert body["instance_url"] == box.url
    assert body["token_type"] == "Bearer"
    assert re.fullmatch(r"\d{13}", body["issued_at"])
    assert body["id"].endswith(f"/id/00D5e000000KQ2eEAG/{box.user('integration')['id']}")
    assert "expires_in" not in body
    assert "refresh_token" not in body


def test_password_then_refresh(box: SandboxProcess) -> None:
    user = box.user("csm")
    first = token(box, box.app(), grant_type="password", username=user["username"], password=user["password"] + user["security_token"]).json()
    second = token(box, box.app(), grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["access_token"] != first["access_token"]
    info = requests.get(f"{box.url}/services/oauth2/userinfo", headers={"Authorization": f"Bearer {second['access_token']}"}, timeout=20).json()
    assert info["user_id"] == user["id"]


def test_jwt_bearer(box: SandboxProcess) -> None:
    assert token(box, grant_type=JWT_GRANT, assertion=assertion(box)).status_code == 200
    # simple-salesforce sends exp as text
    assert token(box, grant_type=JWT_GRANT, assertion=assertion(box, exp=str(int(time.time()) + 100))).status_code == 200


def test_jwt_with_a_registered_key_of_ones_own(box: SandboxProcess) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    box.control.call("app", {"client_id": "mine", "client_secret": "s", "run_as": "admin", "public_key": public})
    assert token(box, grant_type=JWT_GRANT, assertion=assertion(box, private, iss="mine")).status_code == 200
    assert token(box, grant_type=JWT_GRANT, assertion=assertion(box, iss="mine")).json()["error"] == "invalid_grant"


def test_refusals_are_objects_with_the_vendors_pairs(box: SandboxProcess) -> None:
    user = box.user("csm")
    cases = [
        (token(box), "invalid_request", "missing required parameter: grant_type"),
        (token(box, grant_type="magic"), "unsupported_grant_type", "grant type not supported"),
        (token(box, ("nobody", "x"), grant_type="client_credentials"), "invalid_client_id", "client identifier invalid"),
        (token(box, (box.client_id, "x"), grant_type="client_credentials"), "invalid_client", "invalid client credentials"),
        (token(box, box.app(), grant_type="password", username=user["username"], password="x"), "invalid_grant", "authentication failure"),
        (token(box, box.app(), grant_type="refresh_token", refresh_token="x"), "invalid_grant", "expired access/refresh token"),
        (token(box, grant_type=JWT_GRANT, assertion=assertion(box, aud="https://elsewhere.example")), "invalid_grant", "Audience validation failed"),
        (token(box, grant_type=JWT_GRANT, assertion=assertion(box, sub="nobody@x")), "invalid_grant", "user hasn't approved this consumer"),
        (token(box, grant_type=JWT_GRANT, assertion=assertion(box, exp=1)), "invalid_grant", "expired authorization code"),
    ]
    for answer, error, description in cases:
        assert answer.status_code == 400
        assert answer.json() == {"error": error, "error_description": description}


def test_soap_login_by_the_vendors_client(box: SandboxProcess) -> None:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", LocalHttpAdapter(box.url))
    user = box.user("sales")
    client = Salesforce(username=user["username"], password=user["password"], security_token=user["security_token"], session=session, version="62.0")
    assert client.query("SELECT COUNT() FROM User WHERE Id = '{}'".format(user["id"]))["totalSize"] == 1
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        Salesforce(username=user["username"], password="wrong", security_token="x", session=session, version="62.0")


def test_soap_login_is_gone_from_v65(box: SandboxProcess) -> None:
    answer = requests.post(f"{box.url}/services/Soap/u/65.0", data="<x/>", headers={"SOAPAction": "login"}, timeout=20)
    assert answer.status_code == 500
    assert "UNSUPPORTED_API_VERSION" in answer.text


def test_missing_and_wrong_tokens(box: SandboxProcess) -> None:
    for headers in ({}, {"Authorization": "Bearer 00D5e000000KQ2e!wrong"}, {"Authorization": "Basic eDp5"}):
        answer = requests.get(f"{box.url}/services/data/v62.0/limits", headers=headers, timeout=20)
        assert answer.status_code == 401
        assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_sessions_expire_slide_and_can_be_revoked(own_box: SandboxProcess) -> None:
    rest = Rest(own_box)
    own_box.control.settings(session_seconds=600)
    own_box.control.clock(advance=500)
    assert rest("GET", "limits").status_code == 200  # used: slides on
    own_box.control.clock(advance=500)
    assert rest("GET", "limits").status_code == 200
    own_box.control.clock(advance=601)
    assert rest("GET", "limits").status_code == 401
    rest.log_in()
    assert requests.post(f"{own_box.url}/services/oauth2/revoke", data={"token": rest.token}, timeout=20).status_code == 200
    assert rest("GET", "limits").status_code == 401
    rest.log_in()
    own_box.control.call("expire_sessions", {"user": "integration"})
    assert rest("GET", "limits").status_code == 401
    # the other word for the scheme
    rest.log_in()
    assert rest("GET", "limits", headers={"Authorization": f"OAuth {rest.token}"}).status_code == 200
