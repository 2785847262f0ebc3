"""How a page for people is made: one frame, inline style under a hash, nothing from anywhere else.

Pages work without JavaScript and are never stored. A token in the path is the only right to look: it leaves in
no Referer, and there is no cookie that a foreign page could make use of.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.notices import LANGUAGES
from gateway.texts import Texts

TEMPLATES = Path(__file__).parent / "templates"
PREFETCH = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""Headers by which browsers and previews say that no person has asked yet."""


class Pages:
    """The frame and the templates, read once."""

    def __init__(self, folder: Path = TEMPLATES) -> None:
        self._style = (folder / "style.css").read_text(encoding="utf-8").strip()
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
                "frame-ancestors 'none'; base-uri 'none'"
            ),
            "X-Robots-Tag": "noindex, nofollow, noarchive",
            "Referrer-Policy": "no-referrer",
            hdrs.CACHE_CONTROL: "no-store",
        }
        self._environment = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip

    def show(self, name: str, words: Words, *, title: str, status: int = 200, **values: Any) -> web.Response:
        """The page `<name>.html`."""
        template = self._environment.get_template(f"{name}.html")
        text = template.render(
            w=words, lang=words.language, title=title, style=self._style, **values
        )  # fmt: skip
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=self._headers)

    def gone(self, request: web.Request, texts: Texts, desk: str) -> web.Response:
        """Said of a token that is unknown or has expired, alike."""
        words = Words(texts, preferred(request))
        return self.show("gone", words, title=words("gone_title"), status=404, desk=desk)


class Words:
    """The words of the pages in one language."""

    def __init__(self, texts: Texts, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._words: Mapping[str, str] = texts.pages.get(self.language, {})

    def __call__(self, key: str, **values: object) -> str:
        """The words of this name; the name itself when nobody wrote any."""
        pattern = self._words.get(key, key)
        for name, value in values.items():
            pattern = pattern.replace(f"{{{name}}}", str(value))
        return pattern


def preferred(request: web.Request, usual: str = "en") -> str:
    """The first of our languages that the browser names; quality values decide (RFC 9110 section 12.5.4)."""
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")[:500].split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        language = name.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > 0:
            ranked.append((-weight, place, language))
    return min(ranked)[2] if ranked else usual


def is_prefetch(request: web.Request) -> bool:
    """A browser looks ahead, or a preview is made; no person pressed anything."""
    said = " ".join(request.headers.get(name, "") for name in PREFETCH).lower()
    return any(word in said for word in ("prefetch", "prerender", "preview"))


def choices(words: Words) -> Sequence[tuple[int, str]]:
    """The five marks, the best first."""
    return [(score, words(f"mark{score}")) for score in range(5, 0, -1)]
