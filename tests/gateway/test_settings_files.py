"""gateway.yaml, the environment and --set: what wins, and how every fault is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings_files import load_settings

GOOD = """\
http:
  port: 8081
channels:
  mail:
    support:
      addresses: [support@desk.example]
"""


def write(folder: Path, text: str) -> Path:
    (folder / "gateway.yaml").write_text(text, encoding="utf-8")
    return folder


def faults(folder: Path, *overrides: str, **environment: str) -> list[str]:
    settings, problems = load_settings(folder, overrides=overrides, environment=environment)
    assert (settings is None) == bool(problems)
    return [str(problem).removeprefix(f"{folder}/") for problem in problems]


def test_later_wins(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    environment = {"GATEWAY__HTTP__PORT": "8082", "GATEWAY__SMTP__PORT": "0", "OTHER": "1"}
    settings, problems = load_settings(tmp_path, overrides=["http.port=8083"], environment=environment)
    assert not problems
    assert settings is not None
    assert settings.http.port == 8083
    assert settings.smtp.model_dump()["port"] == 0


def test_an_override_is_read_as_yaml(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    settings, problems = load_settings(
        tmp_path, overrides=["operators=[op@desk.example]", "desk.name=no", "tickets.close_waiting=3d"], environment={}
    )
    assert not problems
    assert settings is not None
    assert settings.operator_addresses() == ("op@desk.example",)
    assert settings.desk.name == "no"
    assert settings.tickets.close_waiting.days == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("htp: {}\n", ["gateway.yaml:1:1: htp: is not a known key; did you mean http?"]),
        (
            "http:\n  port: 70000\n",
            ["gateway.yaml:2:9: http.port: should be less than or equal to 65535 (got '70000')"],
        ),
        (
            "http:\n  prt: 1\ncaps:\n  per_address_day: 0\n",
            [
                "gateway.yaml:2:3: http.prt: is not a known key; did you mean port?",
                "gateway.yaml:4:20: caps.per_address_day: should be greater than or equal to 1 (got '0')",
            ],
        ),
        ("journal:\n  keep_raw: 180\n", ["gateway.yaml:2:13: journal.keep_raw: a duration needs a unit"]),
        (
            "channels:\n  mail:\n    a:\n      adresses: []\n",
            ["gateway.yaml:4:7: channels.mail.a.adresses: is not a known key", "channels.mail.a.addresses: is missing"],
        ),
        (
            "channels:\n  mail:\n    a:\n      addresses: [a@desk.example]\n      timezone: Europe/Kiew\n",
            ["gateway.yaml:5:17: channels.mail.a.timezone: there is no time zone 'Europe/Kiew'; write an IANA name"],
        ),
        ("channels:\n  pigeon: {}\n", ["gateway.yaml:2:3: channels.pigeon: is not a known key"]),
        ("smtp:\n  port: no\n", ["gateway.yaml:2:9: smtp.port: should be a valid integer"]),
    ],
)
def test_every_fault_has_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = faults(write(tmp_path, text))
    assert len(found) == len(expected), found
    for wanted in expected:
        assert any(wanted in line for line in found), (wanted, found)


def test_one_address_has_one_account(tmp_path: Path) -> None:
    text = GOOD + "    sales:\n      addresses: [SUPPORT@desk.example]\n"
    assert faults(write(tmp_path, text)) == [
        "gateway.yaml:7:5: channels.mail.sales: support@desk.example belongs to channels.mail.support already"
    ]


def test_a_secret_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = "      relay: {host: relay.example, user: u, password: %s}\n"
    write(tmp_path, GOOD + relay % "env:NO_SUCH_PASSWORD")
    assert "the environment has no NO_SUCH_PASSWORD" in faults(tmp_path)[0]
    write(tmp_path, GOOD + relay % "hunter2")
    assert "a secret never stands in the file" in faults(tmp_path)[0]
    assert "hunter2" not in faults(tmp_path)[0]
    write(tmp_path, GOOD + relay % f"file:{tmp_path}/none")
    assert "there is no file" in faults(tmp_path)[0]
    monkeypatch.setenv("A_PASSWORD", "x")
    assert not faults(write(tmp_path, GOOD + relay % "env:A_PASSWORD"))


def test_an_agent_address_belongs_to_one_agent(tmp_path: Path) -> None:
    text = GOOD + "agents:\n  a: {name: A, addresses: [x@desk.example]}\n  b: {name: B, addresses: [X@desk.example]}\n"
    assert "belongs to the agent a already" in faults(write(tmp_path, text))[0]


def test_a_bad_override_names_itself(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert "http" in faults(tmp_path, "http.port.deep=1")[0]
    assert "is not a known key" in faults(tmp_path, "nothing=1")[0]
