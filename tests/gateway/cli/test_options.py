"""The options that every command takes, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import COMMANDS, main
from gateway.cli.options import Misused, split


def test_common_options_stand_anywhere() -> None:
    found, rest = split(["tickets", "--var", "v", "list", "--config=c", "--set", "a.b=1", "--set=c=x=y", "--json"])
    assert rest == ["tickets", "list", "--json"]
    assert (found.config, found.var, found.overrides) == (Path("c"), Path("v"), ("a.b=1", "c=x=y"))


def test_after_a_double_dash_nothing_is_ours() -> None:
    found, rest = split(["explain", "--", "--set", "x"])
    assert rest == ["explain", "--", "--set", "x"]
    assert not found.overrides


@pytest.mark.parametrize("argv", [["--config"], ["--set", "novalue"], ["--var="]])
def test_an_option_without_its_value_is_misuse(argv: list[str]) -> None:
    with pytest.raises(Misused):
        split(argv)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["nonsense"], 2, "no command 'nonsense'"),
        (["ticket"], 2, "did you mean tickets?"),
        (["check", "--config", "/nonexistent"], 2, ""),
        (["check", "--no-such-option"], 2, ""),
        (["serve", "--config", "/nonexistent"], 2, "gateway.yaml"),
    ],
)
def test_wrong_usage_is_exit_code_2(argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_that_names_the_common_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--config DIR" in shown
    assert f"gateway {name}" in shown
