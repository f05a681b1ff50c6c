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
    "slack_webhook",
    "hash_key",
    "database_url",
    "redis_url",
)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SCORESYNC_", extra="ignore", frozen=True, populate_by_name=True)

    # --- where things are
    lake: Path = Field(Path("var/lake"), description="Folder of the lake, on local or shared disk. Default ./var/lake.")
    runs: Path | None = Field(None, description="Folder of the run folders. Default: `runs` beside the lake.")
    database_url: SecretStr = Field(
        SecretStr("sqlite:///var/ledger.db"),
        description="Ledger: sqlite:///path (one host) or postgresql+psycopg://user:password@host/database. Default sqlite:///var/ledger.db.",
    )
    redis_url: SecretStr | None = Field(None, description="Celery's broker, redis://host:port/db. Default: none, the calling process does the work.")
    mappings: Path = Field(Path("mappings"), description="Folder of the mapping files. Default ./mappings.")
    usage: Path = Field(Path("var/usage"), description="Folder that the globs of usage mappings are relative to. Default ./var/usage.")

    # --- Salesforce
    salesforce_url: str = Field("", description="My Domain URL, https://name.my.salesforce.com. Default: none.")
    salesforce_login: Literal["client_credentials", "jwt", "password"] = Field(
        "client_credentials", description="Login flow: client_credentials, jwt or password. Default client_credentials."
    )
    salesforce_client_id: str = Field("", description="Consumer key of the connected app. Default: none.")
    salesforce_client_secret: SecretStr | None = Field(None, description="Consumer secret. Default: none.")
    salesforce_username: str = Field("", description="Integration user, for jwt and password. Default: none.")
    salesforce_password: SecretStr | None = Field(None, description="Password, for password only. Default: none.")
    salesforce_security_token: SecretStr | None = Field(None, description="Security token, for password only. Default: none.")
    salesforce_private_key: SecretStr | None = Field(None, description="PEM private key, for jwt. Default: none.")
    salesforce_audience: str = Field("https://login.salesforce.com", description="Audience of the JWT. Default https://login.salesforce.com.")
    salesforce_api_version: str = Field("64.0", pattern=r"^\d{2}\.0$", description="API version. Default 64.0.")
    quota_share: float = Field(0.5, gt=0, le=1, description="Share (0 to 1) of the CRM's daily calls this worker may use. Default 0.5.")
    quota_reserve: int = Field(1000, ge=0, description="Daily calls always left to others, count. Default 1000.")
    write_api: Literal["auto", "collections", "bulk"] = Field(
        "auto", description="API for writes: auto picks by volume; collections or bulk force one. Default auto."
    )

    # --- telling people
    slack_webhook: SecretStr | None = Field(None, description="Slack incoming webhook URL. Default: none, alerts for Slack wait.")
    alert_timeout_s: float = Field(10, gt=0, description="Time-out of one message, seconds. Default 10.")
    language: Literal["ja", "en"] = Field("ja", description="Language of messages to people: ja or en. Default ja.")

    # --- this process
    memory_limit: str = Field("768MB", pattern=r"^\d+(MB|GB)$", description="DuckDB's memory per process, then it spills to disk. Default 768MB.")
    threads: int = Field(2, ge=1, description="DuckDB's threads per process, count. Default 2.")
    lease_s: float = Field(120, gt=0, description="Lease of a work item, seconds; renewed every quarter while the item runs. Default 120.")
    item_limit_s: float = Field(3300, gt=0, description="Longest time one work item may run, seconds; renewals end there. Default 3300.")
    item_attempts: int = Field(5, ge=1, description="Failures after which an item is dead and its run failed, count. Default 5.")
    backoff_s: float = Field(10, ge=0, description="Wait after an item's first failure, seconds; doubles at each. Default 10.")
    outage_wait_s: float = Field(300, ge=0, description="Pause of a run whose CRM cannot be reached, seconds. Default 300.")
    log_format: Literal["json", "console"] = Field("json", description="Log lines on stderr: json or console. Default json.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged. Default info.")

    # --- keeping
    hash_key: SecretStr | None = Field(None, description="Key of the hash over user keys of usage files. Default: made once, kept in the lake.")
    run_days: int = Field(90, ge=1, description="Run folders are kept this long, days. Default 90.")
    raw_days: int = Field(14, ge=1, description="Raw pages are kept this long, days. Default 14.")

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
