"""Settings come from the environment or from files, and the docs say each with its default."""

import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from worker import log
from worker.settings import SECRETS, Settings

DOCS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_setting_is_in_the_docs_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    secret = " *secret*" if name in SECRETS else ""
    assert f"| `SCORESYNC_{name.upper()}`{secret} | {field.description} |" in DOCS
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    # "Default: none …" or "Default: <words>" where it is worked out; otherwise the value as it stands
    said = re.search(r"Default:? (.+)\.$", field.description or "")
    assert said, f"{name} does not say its default"
    if default not in (None, ""):
        assert said[1].removeprefix("./") == (f"{default:g}" if isinstance(default, float | int) else str(default))


def test_the_docs_name_no_setting_that_does_not_exist() -> None:
    named = {n.lower() for n in re.findall(r"`SCORESYNC_([A-Z_]+)`", DOCS)} - {"kill_at", "kill_once"}
    assert named == set(Settings.model_fields)


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv("SCORESYNC_SALESFORCE_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    found = Settings().salesforce_client_secret
    assert found is not None
    assert found.get_secret_value() == "from-a-file"
    monkeypatch.setenv("SCORESYNC_SALESFORCE_CLIENT_SECRET", "from-the-environment")
    with pytest.raises(ValidationError, match="keep one"):
        Settings()


def test_an_unreadable_secret_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCORESYNC_SLACK_WEBHOOK_FILE", str(tmp_path / "absent"))
    with pytest.raises(ValidationError, match=r"SCORESYNC_SLACK_WEBHOOK_FILE names .*absent.*cannot be read"):
        Settings()


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SECRETS:
        monkeypatch.setenv(f"SCORESYNC_{name.upper()}", f"postgresql://u:canary-{name}@h/d" if name.endswith("_url") else f"canary-{name}")
    settings = Settings()
    assert "canary" not in repr(settings) + str(settings)
    assert "canary" not in settings.model_dump_json()
    log.configure(settings)
    log.get(where="postgresql://u:canary-database_url@h/d", deep={"a": ["Bearer canary-salesforce_client_secret"]}).warning("canary-slack_webhook")
    line = json.loads(capsys.readouterr().err)
    assert "canary" not in json.dumps(line)
    assert (line["event"], line["deep"]) == (log.MASK, {"a": [f"Bearer {log.MASK}"]})
