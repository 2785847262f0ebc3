"""`gateway init`: everything that an installation needs, from a few answers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import PACKAGED, Failed, Misused, default_config
from gateway.installing import Answers, write
from gateway.settings_files import ConfigurationError, load

app = typer.Typer(add_completion=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder, such as /etc/gateway.")],
    address: Annotated[str, typer.Option(help="The desk's mail address.")] = "",
    name: Annotated[str, typer.Option(help="The desk's name, under its mails.")] = "",
    language: Annotated[str, typer.Option(help="ru, uk or en.")] = "",
    timezone: Annotated[str, typer.Option(help="IANA zone, such as Europe/Kyiv.")] = "",
    public_url: Annotated[str, typer.Option(help="How people reach the web site; none: asked, may stay empty.")] = "",
    relay: Annotated[str, typer.Option(help="Mail server that carries our mail, host or host:port.")] = "",
    relay_user: Annotated[str, typer.Option(help="Its user; the password goes into gateway.env.")] = "",
    operator: Annotated[str, typer.Option(help="Mail address told of trouble with the gateway.")] = "",
    smtp_port: Annotated[int, typer.Option(min=1, max=65535)] = 25,
    smtp_host: Annotated[str, typer.Option(help="Where SMTP listens; 0.0.0.0: on every address.")] = "127.0.0.1",
    lmtp: Annotated[bool, typer.Option("--lmtp", help="Open the LMTP port for a Postfix on this machine.")] = False,
    user: Annotated[str, typer.Option(help="The system user it runs as.")] = "gateway",
    data: Annotated[Path, typer.Option(help="Where the data will be.")] = Path("/var/lib/gateway"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; what is not given stays empty or as usual.")] = False,
) -> None:
    """Write configuration, systemd unit and web server snippets into a new folder. Nothing is started.

    What is not given by a flag is asked, when there is somebody to ask. Mail starts with `outbound: off`.
    """
    asking = not yes and sys.stdin.isatty()

    def answer(given: str, question: str, usual: str) -> str:
        if given or not asking:
            return given or usual
        return str(typer.prompt(question, default=usual, show_default=bool(usual))).strip()

    answers = Answers(
        address=answer(address, "The desk's mail address", "support@desk.example"),
        name=answer(name, "The desk's name", "Support"),
        language=answer(language, "Language of notices (ru, uk, en)", "en"),
        timezone=answer(timezone, "Time zone", "UTC"),
        public_url=answer(public_url, "Public address of the web site (https://help.example.com)", "").rstrip("/"),
        relay=answer(relay, "Mail server that carries our mail (host:port)", ""),
        relay_user=relay_user,
        operator=answer(operator, "Who is told of trouble (mail address)", ""),
        smtp_port=smtp_port,
        smtp_host=smtp_host,
        lmtp=lmtp,
        user=user,
        var=data,
        executable=_executable(),
    )
    defaults = PACKAGED if PACKAGED.exists() else default_config()
    try:
        made = write(folder, answers, defaults)
    except OSError as error:
        raise Failed(f"{error.filename or folder}: {error.strerror}") from None
    _check(folder, answers)
    for path in made:
        typer.echo(path)
    for step in (
        f"useradd --system {user}; install -d -o {user} -m 700 {data}",
        f"put the relay's password into {folder / 'gateway.env'}" if relay_user else "",
        f"gateway check --online --config {folder / 'config'} --var {data}",
        f"systemctl enable --now {folder.resolve()}/gateway.service",
    ):
        if step:
            typer.echo(f"next: {step}")


def _executable() -> Path:
    beside = Path(sys.executable).with_name("gateway")
    found = beside if beside.exists() else Path(shutil.which("gateway") or beside)
    return found.absolute()


def _check(folder: Path, answers: Answers) -> None:
    # The password is written by hand later: any file stands for it now.
    later = f"channels.mail.support.relay.password=file:{folder / 'gateway.env'}"
    try:
        load(folder / "config", overrides=[later] if answers.relay_user else [], environment={})
    except ConfigurationError as error:
        shutil.rmtree(folder)
        raise Misused("\n".join(str(problem) for problem in error.problems)) from None
