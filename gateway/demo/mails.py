"""The mails of the demo, as the programs of the people who send them would write them."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.header import Header

DESK = "support@desk.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to send."""

    what: str
    """For the reader of the demo: what is remarkable about it."""
    sender: str
    name: str
    subject: str
    text: str
    charset: str = "utf-8"
    encoding: str = "base64"
    headers: Mapping[str, str] = field(default_factory=dict)
    attachment: tuple[str, str, bytes] | None = None
    html: str = ""
    answers: int | None = None
    """Index of the mail of ours (an acknowledgement) that it answers."""
    envelope_from: str | None = None
    raw: bytes | None = None
    """The whole message where it is not made from the fields (a bounce)."""


def build(mail: Mail, *, message_id: str, in_reply_to: str = "") -> bytes:
    """The bytes on the wire, CRLF line ends."""
    if mail.raw is not None:
        return mail.raw.replace(b"\n", b"\r\n").replace(b"@ORIGINAL@", in_reply_to.encode())
    head = [
        f"From: {Header(mail.name, mail.charset).encode()} <{mail.sender}>",
        f"To: {DESK}",
        f"Subject: {Header(mail.subject, mail.charset).encode()}",
        f"Message-ID: <{message_id}>",
        "MIME-Version: 1.0",
        *(f"{name}: {value}" for name, value in mail.headers.items()),
    ]
    if in_reply_to:
        head += [f"In-Reply-To: <{in_reply_to}>", f"References: <{in_reply_to}>"]
    parts = [_part("text/plain", mail.text, mail)]
    if mail.html:
        parts.append(_part("text/html", mail.html, mail))
    if mail.attachment is not None:
        parts.append(_file(*mail.attachment))
    if len(parts) == 1:
        return _wire("\n".join([*head, parts[0]]))
    kind = "alternative" if mail.html else "mixed"
    head.append(f'Content-Type: multipart/{kind}; boundary="=_part"')
    body = "".join(f"--=_part\n{part}\n" for part in parts)
    return _wire("\n".join([*head, "", f"{body}--=_part--\n"]))


def _wire(text: str) -> bytes:
    return text.encode("latin-1").replace(b"\n", b"\r\n")


def _part(kind: str, text: str, mail: Mail) -> str:
    data = text.encode(mail.charset)
    match mail.encoding:
        case "base64":
            body = base64.encodebytes(data).decode()
        case "quoted-printable":
            body = quopri.encodestring(data).decode()
        case _:
            body = data.decode("latin-1")
    return f"Content-Type: {kind}; charset={mail.charset}\nContent-Transfer-Encoding: {mail.encoding}\n\n{body}"


def _file(name: str, kind: str, data: bytes) -> str:
    return (
        f'Content-Type: {kind}; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
        f"Content-Transfer-Encoding: base64\n\n{base64.encodebytes(data).decode()}"
    )


_OUTLOOK = """<html><body lang="RU"><div class="WordSection1"><p class="MsoNormal">Уточняю: ошибка только у \
бухгалтерии, в остальных отделах всё открывается.</p><div style="border:none;border-top:solid #E1E1E1 1.0pt;\
padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal"><b>From:</b> Support &lt;support@desk.example&gt;<br><b>Sent:</b> \
Monday, November 23, 2026 9:05 AM<br><b>To:</b> Анна Коваль<br><b>Subject:</b> Re: Портал не открывается</p></div>\
<p class="MsoNormal">Мы получили ваше письмо.</p></div></body></html>"""

_BOUNCE = b"""From: Mail Delivery System <MAILER-DAEMON@mx.client.example>
To: support@desk.example
Subject: Undelivered Mail Returned to Sender
Message-ID: <bounce-1@mx.client.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

--=_b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.

--=_b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.client.example

Final-Recipient: rfc822; olena@client.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

--=_b
Content-Type: message/rfc822

Message-ID: <@ORIGINAL@>
From: support@desk.example
To: olena@client.example
Subject: Re

--=_b--
"""

MAILS = (
    Mail(
        what="Russian, the portal is down",
        sender="anna.koval@client.example",
        name="Анна Коваль",
        subject="Портал не открывается",
        text="Здравствуйте!\nС утра портал не открывается ни у кого, везде ошибка 502.\nАнна Коваль\n",
    ),
    Mail(
        what="Ukrainian in koi8-u, the printer",
        sender="olena@client.example",
        name="Олена Гнатюк",
        subject="Не друкує принтер",
        text="Вітаю! Принтер у приймальні не друкує, горить червона лампочка. Потрібен фахівець на місці.\n",
        charset="koi8-u",
        encoding="8bit",
    ),
    Mail(
        what="Russian in windows-1251, quoted-printable",
        sender="sklad@client.example",
        name="Склад",
        subject="Очень медленно работает отчёт по остаткам",
        text="Отчёт по остаткам формируется двадцать минут, раньше было две. Остальное работает.\n",
        charset="windows-1251",
        encoding="quoted-printable",
    ),
    Mail(
        what="English, a question",
        sender="j.smith@client.example",
        name="John Smith",
        subject="How do I add a user?",
        text="Hello,\nhow do I add a new user to the portal and give her read access to reports?\nJohn\n",
        encoding="7bit",
    ),
    Mail(
        what="with an attachment",
        sender="dba@client.example",
        name="Iryna Bondar",
        subject="Server db2 is unreachable",
        text="Server db2 is unreachable since 08:40, ssh times out. Screenshot attached.\n",
        encoding="7bit",
        attachment=("screen.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(2000)),
    ),
    Mail(
        what="an Outlook reply with the quoted mail below",
        sender="anna.koval@client.example",
        name="Анна Коваль",
        subject="RE: Портал не открывается",
        text="Уточняю: ошибка только у бухгалтерии, в остальных отделах всё открывается.\n\n"
        "From: Support <support@desk.example>\nSent: Monday, November 23, 2026 9:05 AM\nTo: Анна Коваль\n"
        "Subject: Re: Портал не открывается\n\nМы получили ваше письмо.\n",
        html=_OUTLOOK,
        answers=0,
    ),
    Mail(
        what="an out-of-office: no ticket, no answer",
        sender="j.smith@client.example",
        name="John Smith",
        subject="Automatic reply: How do I add a user?",
        text="I am out of the office until Monday.\n",
        encoding="7bit",
        headers={"Auto-Submitted": "auto-replied", "X-Auto-Response-Suppress": "All"},
        envelope_from="",
        answers=3,
    ),
    Mail(
        what="a bounce of our acknowledgement",
        sender="MAILER-DAEMON@mx.client.example",
        name="",
        subject="",
        text="",
        envelope_from="",
        answers=1,
        raw=_BOUNCE,
    ),
    Mail(
        what="only thanks: reopens nothing",
        sender="j.smith@client.example",
        name="John Smith",
        subject="Re: How do I add a user?",
        text="Thank you!\n",
        encoding="7bit",
        answers=3,
    ),
    Mail(
        what="the same mail again, as a mail server repeats it",
        sender="anna.koval@client.example",
        name="Анна Коваль",
        subject="Портал не открывается",
        text="Здравствуйте!\nС утра портал не открывается ни у кого, везде ошибка 502.\nАнна Коваль\n",
    ),
    Mail(
        what="a robot's report",
        sender="noreply@monitor.example",
        name="Monitoring",
        subject="[OK] disk space on web1",
        text="Disk space on web1 is back to normal: 41% used.\n",
        encoding="7bit",
        headers={"Auto-Submitted": "auto-generated", "Precedence": "bulk"},
    ),
    Mail(
        what="Ukrainian, sales have stopped",
        sender="prodazh@client.example",
        name="Відділ продажу",
        subject="Не проводяться замовлення",
        text="Доброго дня! З обіду не проводяться замовлення, менеджери не можуть оформити жодного продажу.\n",
    ),
)
REPEATED = 9
"""Index of the mail that repeats the first one, Message-ID included."""
