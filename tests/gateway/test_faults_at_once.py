"""One run of the check names every fault: what is wrong in one place hides nothing in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings_files import ConfigurationError, load

GATEWAY = """\
http: {port: 70000}
channels:
  mail:
    support: {addresses: [support@desk.example], langage: uk}
    sales: {addresses: [SUPPORT@desk.example]}
    other: {addresses: [other@desk.example], relay: {host: r.example, user: u, password: hunter2}}
agents:
  a: {name: A, addresses: [x@desk.example]}
  b: {name: B, addresses: [X@desk.example]}
"""
CALENDARS = """\
default: nowhere
calendars:
  office: {zone: Europe/Kyiv, week: {mon-fri: [25:00-18:00]}}
  moon: {zone: Moon/Base, week: {mon-fri: [09:00-18:00]}}
  bare: {zone: Europe/Kyiv}
"""
CONTRACTS = """\
contracts:
  acme: {calendar: bare, covers: {domains: [acme.example]}, langauge: uk}
  other: {calendar: sometime, covers: {domains: [acme.example]}}
"""
ROUTING = """\
rules:
  - {id: one, why: it stops, when: {wrds: [printer]}, stop: true}
  - {id: two, why: no such contract, when: {contracts: [nobody]}, set: {line: L2}}
  - {id: three, why: of a faulty one, when: {contracts: [acme]}, set: {line: L9}}
"""
FAULTS = (
    "gateway.yaml:1:14: http.port",
    "channels.mail.support.langage",
    "channels.mail.sales: support@desk.example belongs to",
    "channels.mail.other.relay.password: a secret never stands in the file",
    "agents.b: x@desk.example belongs to",
    "calendars.yaml:1:10: default: there is no calendar 'nowhere'",
    "calendars.office.week.mon-fri",
    "calendars.moon.zone",
    "calendars.bare.week: is missing",
    "contracts.acme.langauge",
    "contracts.other.calendar: there is no calendar 'sometime'",
    "contracts.other.covers: acme.example is covered by contract acme already",
    "rules[0].when.wrds",
    "rules[1].when.contracts[0]: there is no contract 'nobody'",
    "rules[2].set.line",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "gateway": GATEWAY,
        "calendars": CALENDARS,
        "contracts": CONTRACTS,
        "routing": ROUTING,
        "surveys": "lwo: 1\n",
    }
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
    return tmp_path


def test_every_fault_of_every_file_in_one_run(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(folder, environment={})
    said = [str(problem) for problem in refused.value.problems]
    missing = [fault for fault in FAULTS if not any(fault in line for line in said)]
    assert not missing, "\n".join(said)
    # No fault is invented: a name that stands in a file is known, although what is below it is wrong.
    assert len(said) == len(FAULTS) + 1, "\n".join(said)
    assert any("surveys.yaml" in line for line in said)
    assert not any("hunter2" in line for line in said)
