"""What `gateway init` writes: a configuration, a systemd unit, and snippets for nginx and Caddy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HTTP_PORT = 8080
PRIVILEGED = 1024
"""Ports below need CAP_NET_BIND_SERVICE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the engineer said."""

    address: str
    name: str
    language: str
    timezone: str
    public_url: str
    relay: str
    """host or host:port of the mail server that carries our mail; "": mail is written to files."""
    relay_user: str
    operator: str
    """Mail address told of trouble with the gateway; "": nobody."""
    smtp_port: int
    smtp_host: str
    lmtp: bool
    """Open the LMTP port for a Postfix on this machine."""
    user: str
    var: Path
    executable: Path


def write(folder: Path, answers: Answers, defaults: Path) -> list[Path]:
    """Write everything into a new folder, texts and policies from `defaults`. Returns the files to look at.

    Raises OSError; FileExistsError when there is something in the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(17, "is not empty; name a new folder", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(defaults, folder / "config")
    made: Mapping[str, str] = {
        "config/gateway.yaml": configuration(answers),
        "gateway.service": unit(answers, folder.resolve()),
        "nginx.conf": nginx(answers),
        "Caddyfile": caddy(answers),
    }
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    secrets = folder / "gateway.env"
    secrets.touch(mode=0o600)
    secrets.write_text("# Read by systemd, for nobody's eyes but root's.\nRELAY_PASSWORD=\n", encoding="utf-8")
    return [*(folder / name for name in made), secrets]


def host_of(answers: Answers) -> str:
    """The name of the web site."""
    return urlsplit(answers.public_url).hostname or "help.example.com"


def configuration(answers: Answers) -> str:
    """`gateway.yaml`."""
    quoted = json.dumps  # a JSON string is a YAML string
    lines = [
        "# `gateway check` names every fault with its line, `gateway check --online` tries relays, clock and folders.",
        "# docs/settings.md says what each key means; what is left out has a safe default.",
        "",
        "http:",
        "  host: 127.0.0.1",
        f"  port: {HTTP_PORT}",
        *([f"  public_url: {quoted(answers.public_url)}"] if answers.public_url else []),
        "  trusted_proxies: [127.0.0.1]",
        "",
        "smtp:",
        f"  host: {quoted(answers.smtp_host)}",
        f"  port: {answers.smtp_port}",
        *(["  lmtp: {host: 127.0.0.1, port: 2424}"] if answers.lmtp else []),
        "",
        "desk:",
        f"  name: {quoted(answers.name, ensure_ascii=False)}",
        "",
        *([f"operators: [{quoted(answers.operator)}]", ""] if answers.operator else []),
        "channels:",
        "  mail:",
        "    support:",
        f"      addresses: [{quoted(answers.address, ensure_ascii=False)}]",
        f"      from: {{name: {quoted(answers.name, ensure_ascii=False)}, address: {quoted(answers.address)}}}",
        f"      language: {answers.language}",
        f"      timezone: {quoted(answers.timezone)}",
        '      # A pilot beside another helpdesk: docs/operations.md. Say "on" when you cut over.',
        '      outbound: "off"',
        *_relay(answers),
    ]
    return "\n".join(lines) + "\n"


def _relay(answers: Answers) -> list[str]:
    if not answers.relay:
        return ["      # Until a relay is named here, mail is written to files: relay: {host: smtp.example.com}"]
    host, _, port = answers.relay.partition(":")
    local = host in ("127.0.0.1", "localhost")
    return [
        "      relay:",
        f"        host: {json.dumps(host)}",
        *([f"        port: {port}"] if port else []),
        f"        tls: {'none' if local else 'starttls'}",
        *([f"        user: {json.dumps(answers.relay_user)}", "        password: env:RELAY_PASSWORD"]
          if answers.relay_user else []),
    ]  # fmt: skip


def unit(answers: Answers, folder: Path) -> str:
    """The systemd unit: a user of its own, one capability at most, nothing writable but its data."""
    capability = "CAP_NET_BIND_SERVICE" if answers.smtp_port < PRIVILEGED else ""
    command, config = str(answers.executable), folder / "config"
    return f"""# systemctl enable --now {folder}/gateway.service
[Unit]
Description=Support intake gateway
Wants=network-online.target
After=network-online.target

[Service]
User={answers.user}
Group={answers.user}
EnvironmentFile=-{folder}/gateway.env
ExecStartPre={command} check --config {config}
ExecStart={command} serve --config {config} --var {answers.var}
ExecReload={command} reload --var {answers.var}
Restart=always
RestartSec=2
# What is being sent and filed is finished first.
TimeoutStopSec=180
KillMode=mixed
LimitNOFILE=65536
UMask=0077

AmbientCapabilities={capability}
CapabilityBoundingSet={capability}
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={answers.var}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def nginx(answers: Answers) -> str:
    """A site for nginx."""
    host = host_of(answers)
    return f"""# /etc/nginx/sites-enabled/gateway.conf
server {{
    listen 80;
    listen [::]:80;
    server_name {host};
    return 301 https://$host$request_uri;
}}

server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {host};
    ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
    client_max_body_size 64m;

    location = /metrics {{
        return 404;
    }}

    location / {{
        proxy_pass http://127.0.0.1:{HTTP_PORT};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        # Set, not added to: what a client says of itself is not believed.
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Request-Id $request_id;
        proxy_read_timeout 75s;
    }}
}}
"""


def caddy(answers: Answers) -> str:
    """A site for Caddy, which gets its certificate itself."""
    return f"""{host_of(answers)} {{
	request_body {{
		max_size 64MB
	}}
	respond /metrics 404
	reverse_proxy 127.0.0.1:{HTTP_PORT}
}}
"""
