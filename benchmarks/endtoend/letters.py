"""The mail of the benchmark: made here, no two alike, from the same seed every time.

*plain* is 4 KB of text in Russian (base64), Ukrainian (8bit) and English (7bit). *mixed* is what a desk gets in a
day: short questions, answers above a quoted thread, HTML from office programs, screenshots and documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from random import Random

MARK = "7777000"
"""Stands for the number of the mail in a template."""
TEMPLATES = 60

_WORDS = {
    "en": "the server of our shop does not answer since this morning please look at the order page and the mail "
    "queue because customers cannot pay and nobody here knows what was changed in the settings last night",
    "ru": "сервер нашего магазина не отвечает с самого утра посмотрите пожалуйста страницу заказа и очередь почты "
    "потому что клиенты не могут оплатить и никто у нас не знает что меняли в настройках вчера вечером",
    "uk": "сервер нашої крамниці не відповідає від самого ранку погляньте будь ласка на сторінку замовлення і чергу "
    "пошти бо клієнти не можуть сплатити і ніхто в нас не знає що міняли в налаштуваннях учора ввечері",
}
_ENCODING = {"en": "7bit", "ru": "base64", "uk": "8bit"}
_SUBJECT = {"en": "The shop does not answer", "ru": "Не отвечает магазин", "uk": "Не відповідає крамниця"}


_SYLLABLES = {
    "en": "ra ten mo vel sta ing der pro con lo mi tur ber fan gel",
    "ru": "ра тен мо вел ста ние дер про кон ло ми тур бер фан гель",
    "uk": "ра тен мо вел ста ння дер про кон ло мі тур бер фан гель",
}


def _vocabulary(language: str) -> list[str]:
    """The words above and a thousand made up: people repeat themselves less than a short list does."""
    chance, parts = Random(language), _SYLLABLES[language].split()
    return _WORDS[language].split() * 10 + ["".join(chance.choices(parts, k=chance.randint(1, 4))) for _ in range(1000)]


def _text(chance: Random, language: str, size: int) -> str:
    words = _vocabulary(language)
    lines, total = [], 0
    while total < size:
        line = " ".join(chance.choices(words, k=11)).capitalize() + "."
        lines.append(line)
        total += len(line.encode()) + 2
    return "\n".join(lines) + "\n"


def _blank(language: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["Received"] = "from mx.client.example (mx.client.example [192.0.2.1]) by mx.desk.example with ESMTPS"
    mail["From"] = f"Client {MARK} <client{MARK}@client.example>"
    mail["To"] = "Support <support@desk.example>"
    mail["Subject"] = f"{_SUBJECT[language]} {MARK}"
    mail["Message-ID"] = f"<bench.{MARK}@client.example>"
    mail["Date"] = "Mon, 04 May 2026 09:00:00 +0000"
    return mail


def _question(chance: Random, language: str, size: int) -> EmailMessage:
    mail = _blank(language)
    mail.set_content(_text(chance, language, size), cte=_ENCODING[language])
    return mail


def _answer(chance: Random, language: str) -> EmailMessage:
    """A few lines above a long quoted thread, as text and as HTML."""
    said, quoted = _text(chance, language, 400), _text(chance, language, chance.randrange(1500, 5000))
    mail = _blank(language)
    mail["In-Reply-To"] = f"<earlier.{MARK}@client.example>"
    mail["References"] = f"<first.{MARK}@client.example> <earlier.{MARK}@client.example>"
    below = "".join(f"> {line}\n" for line in quoted.splitlines())
    mail.set_content(f"{said}\nOn Sunday, Desk <desk@other.example> wrote:\n{below}", cte="base64")
    html = "".join(f"<p>{line}</p>\n" for line in said.splitlines())
    mail.add_alternative(f"<html><body>{html}<blockquote>{quoted}</blockquote></body></html>", "html", cte="base64")
    return mail


def _office(chance: Random, language: str) -> EmailMessage:
    """HTML as office programs write it: much style, little text."""
    paragraphs = "".join(
        f'<p class="MsoNormal" style="margin:0cm;font-size:11pt;font-family:Calibri"><span lang="EN-US" '
        f'style="color:#1F497D">{line}<o:p></o:p></span></p>\n'
        for line in _text(chance, language, chance.randrange(2000, 8000)).splitlines()
    )
    style = "<style>p.MsoNormal {margin:0cm; font-size:11.0pt; font-family:Calibri}</style>" * 10
    mail = _blank(language)
    mail.set_content(f"<html><head>{style}</head><body>{paragraphs}</body></html>", "html", cte="base64")
    return mail


def _with_file(chance: Random, language: str, size: int) -> EmailMessage:
    mail = _question(chance, language, 600)
    mail.add_attachment(chance.randbytes(size), maintype="image", subtype="png", filename="screenshot.png")
    return mail


_MIXED: Sequence[tuple[int, Callable[[Random, str], EmailMessage]]] = (
    (48, lambda chance, language: _question(chance, language, chance.randrange(300, 4000))),
    (24, _answer),
    (12, _office),
    (11, lambda chance, language: _with_file(chance, language, chance.randrange(20_000, 70_000))),
    (5, lambda chance, language: _with_file(chance, language, chance.randrange(70_000, 130_000))),
)
"""Share in a hundred -> kind of mail."""


def templates(kind: str) -> list[bytes]:
    """Mails with MARK where the number goes. `kind` is plain or mixed."""
    chance, made = Random(4), []
    for number in range(TEMPLATES):
        language = ("ru", "uk", "en")[number % 3]
        if kind == "plain":
            # A letter of Cyrillic is two bytes, and base64 makes four of three.
            mail = _question(chance, language, 2700 if language == "ru" else 3700)
        else:
            make = chance.choices([entry[1] for entry in _MIXED], [entry[0] for entry in _MIXED])[0]
            mail = make(chance, language)
        made.append(mail.as_bytes())
    return made


def letters(made: Sequence[bytes], first: int, count: int) -> list[bytes]:
    """So many mails with numbers from `first`, ready for DATA: dots stuffed, the lone dot at the end."""
    found = []
    for number in range(first, first + count):
        content = made[number % len(made)].replace(MARK.encode(), str(number).encode())
        found.append(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    return found
