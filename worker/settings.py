"""How this process runs, from the environment (`SCORESYNC_*`). What the customer means is in the mappings, never here.

A secret may also come from a file named by `SCORESYNC_<NAME>_FILE`. Each setting's unit and default are in its description; `docs/settings.md` is
held to this class by a test.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Settings that may be read from `SCORESYNC_<NAME>_FILE`.
SECRETS = (
    "salesforce_client_secret",
    "salesforce_password",
    "salesforce_security_token",
    "salesforce_private_key",
    "hubspot_token",
    "hubspot_client_secret",
    "hubspot_refresh_token",
    "slack_webhook",
    "smtp_password",
    "hash_key",
    "database_url",
    "redis_url",
)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SCORESYNC_", extra="ignore", frozen=True, populate_by_name=True)

    # --- where things are
    lake: Path = Field(default=Path("var/lake"), description="Folder of the lake, on local or shared disk. Default ./var/lake.")
    runs: Path | None = Field(default=None, description="Folder of the run folders. Default: `runs` beside the lake.")
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///var/ledger.db"),
        description="Ledger: sqlite:///path (one host) or postgresql+psycopg://user:password@host/database. Default sqlite:///var/ledger.db.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Celery's broker, redis://host:port/db. Default: none, the calling process does the work."
    )
    mappings: Path | None = Field(default=None, description="Folder of the mapping files. Default: those shipped with scoresync.")
    usage: Path = Field(default=Path("var/usage"), description="Folder that the globs of usage mappings are relative to. Default ./var/usage.")

    # --- Salesforce
    salesforce_url: str = Field(default="", description="My Domain URL, https://name.my.salesforce.com. Default: none.")
    salesforce_login: Literal["client_credentials", "jwt", "password"] = Field(
        default="client_credentials", description="Login flow: client_credentials, jwt or password. Default client_credentials."
    )
    salesforce_client_id: str = Field(default="", description="Consumer key of the connected app. Default: none.")
    salesforce_client_secret: SecretStr | None = Field(default=None, description="Consumer secret. Default: none.")
    salesforce_username: str = Field(default="", description="Integration user, for jwt and password. Default: none.")
    salesforce_password: SecretStr | None = Field(default=None, description="Password, for password only. Default: none.")
    salesforce_security_token: SecretStr | None = Field(default=None, description="Security token, for password only. Default: none.")
    salesforce_private_key: SecretStr | None = Field(default=None, description="PEM private key, for jwt. Default: none.")
    salesforce_audience: str = Field(default="https://login.salesforce.com", description="Audience of the JWT. Default https://login.salesforce.com.")
    salesforce_api_version: str = Field(default="64.0", pattern=r"^\d{2}\.0$", description="API version. Default 64.0.")

    # --- HubSpot
    hubspot_url: str = Field(default="https://api.hubapi.com", description="Address of the API. Default https://api.hubapi.com.")
    hubspot_token: SecretStr | None = Field(default=None, description="Token of a service key or private app. Default: none, OAuth is used.")
    hubspot_client_id: str = Field(default="", description="Client id of the app, for OAuth. Default: none.")
    hubspot_client_secret: SecretStr | None = Field(default=None, description="Client secret, for OAuth. Default: none.")
    hubspot_refresh_token: SecretStr | None = Field(default=None, description="Refresh token that installing the app gave, for OAuth. Default: none.")
    hubspot_api_version: str = Field(
        default="2026-03", pattern=r"^(\d{4}-(03|09)|v3)$", description="Family of paths: a date, or v3 for the numbered ones. Default 2026-03."
    )
    hubspot_window_calls: int = Field(
        default=0, ge=0, description="Calls in 10 seconds by all workers together, count; 0 = as many as HubSpot says the token may make. Default 0."
    )

    # --- reading and writing
    quota_share: float = Field(default=0.5, gt=0, le=1, description="Share (0 to 1) of the CRM's daily calls this worker may use. Default 0.5.")
    quota_reserve: int = Field(default=1000, ge=0, description="Daily calls always left to others, count. Default 1000.")
    read_lag_s: float = Field(
        default=300,
        ge=0,
        description="Changes younger than this are left to the next run, since the CRM may still be committing them, seconds. Default 300.",
    )
    read_overlap_s: float = Field(default=600, ge=0, description="Each window reaches this far back into the last one, seconds. Default 600.")
    write_api: Literal["auto", "collections", "bulk"] = Field(
        default="auto", description="API for writes: auto picks by volume; collections or bulk force one. Default auto."
    )

    # --- telling people
    slack_webhook: SecretStr | None = Field(default=None, description="Slack incoming webhook URL. Default: none, alerts for Slack wait.")
    smtp_host: str = Field(default="", description="Mail server for alerts by e-mail. Default: none, they wait.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port. Default 587.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls (from the first byte, port 465) or none (a relay on this host only). Default starttls."
    )
    smtp_ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the mail server's certificate. Default: the system's authorities."
    )
    smtp_username: str = Field(default="", description="User for the mail server. Default: none, no login.")
    smtp_password: SecretStr | None = Field(default=None, description="Password for the mail server. Default: none.")
    smtp_from: str = Field(default="", description="Sender of alerts by e-mail. Default: none, they wait.")
    smtp_to: str = Field(default="", description="Recipients of alerts by e-mail, separated by commas. Default: none, they wait.")
    smtp_partner_to: str = Field(
        default="", description="Recipients of alerts on partner-managed accounts, separated by commas. Default: those of SCORESYNC_SMTP_TO."
    )
    alert_timeout_s: float = Field(default=10, gt=0, description="Time-out of one message, seconds. Default 10.")

    # --- this process
    memory_limit: str = Field(
        default="768MB", pattern=r"^\d+(MB|GB)$", description="DuckDB's memory per process, then it spills to disk. Default 768MB."
    )
    threads: int = Field(default=2, ge=1, description="DuckDB's threads per process, count. Default 2.")
    lease_s: float = Field(default=120, gt=0, description="Lease of a work item, seconds; renewed every quarter while the item runs. Default 120.")
    landing_s: float = Field(
        default=60,
        ge=0,
        description="A write whose answer was lost may still be carried out by the CRM for this long, seconds; only then are its records read again. "
        "Default 60.",
    )
    item_limit_s: float = Field(default=3300, gt=0, description="Longest time one work item may run, seconds; renewals end there. Default 3300.")
    item_attempts: int = Field(default=5, ge=1, description="Failures after which an item is dead and its run failed, count. Default 5.")
    backoff_s: float = Field(default=10, ge=0, description="Wait after an item's first failure, seconds; doubles at each. Default 10.")
    outage_wait_s: float = Field(default=300, ge=0, description="Pause of a run whose CRM cannot be reached, seconds. Default 300.")
    announce_again_s: float = Field(default=60, gt=0, description="A message for a waiting item is sent again after this, seconds. Default 60.")
    timezone: str = Field(default="Asia/Tokyo", description="Time zone of full_at. Default Asia/Tokyo.")
    full_at: str = Field(default="02:30", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="Time of day of the full run, HH:MM. Default 02:30.")
    increment_every_s: float = Field(default=900, gt=0, description="Time between incremental runs, seconds. Default 900.")
    resync_every_s: float = Field(default=15, gt=0, description="Time between looks for resync requests, seconds. Default 15.")
    sweep_every_s: float = Field(default=15, gt=0, description="Time between sweeps for lost messages and dead workers, seconds. Default 15.")
    log_format: Literal["json", "console"] = Field(default="json", description="Log lines on stderr: json or console. Default json.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is logged. Default info.")

    # --- keeping
    hash_key: SecretStr | None = Field(
        default=None, description="Key of the hash over user keys of usage files. Default: made once, kept in the lake."
    )
    run_days: int = Field(default=90, ge=1, description="Run folders, and runs in the ledger, are kept this long, days. Default 90.")
    raw_days: int = Field(default=14, ge=1, description="Raw pages are kept this long, days. Default 14.")

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: Any) -> Any:
        """Fill secrets from `SCORESYNC_<NAME>_FILE`. Both given, or an unreadable file, is an error that names the variable, never the content."""
        if not isinstance(values, dict):
            return values
        for name in SECRETS:
            variable = f"SCORESYNC_{name.upper()}_FILE"
            path = os.environ.get(variable)
            if not path:
                continue
            if values.get(name):
                raise ValueError(f"Both {variable.removesuffix('_FILE')} and {variable} are set: keep one.")
            try:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(f"{variable} names {path!r}, which cannot be read: {error.strerror}.") from None
        return values

    @property
    def runs_folder(self) -> Path:
        return self.runs if self.runs is not None else self.lake.parent / "runs"

    def secrets(self) -> list[str]:
        """Every secret text of this process, for masking in logs."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in found if isinstance(value, SecretStr) and value.get_secret_value()]
