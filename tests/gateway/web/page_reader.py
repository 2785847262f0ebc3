"""Reads a page as a browser without JavaScript would: words, forms, labels, and what it would load."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """One form with its fields; of radio buttons the checked one."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    button: str = ""


class PageReader(HTMLParser):
    """What is on the page."""

    VOID = ("meta", "br", "input", "link", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.language = ""
        self.title = ""
        self.text = ""
        self.forms: list[Form] = []
        self.loads: list[str] = []
        self.scripts = 0
        self.unlabelled: list[str] = []
        self.headings: list[int] = []
        self.style = ""
        self._open: list[str] = []
        self._labels: set[str] = set()
        self._named: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"
        self.unlabelled += [name for ident, name in self._named if ident not in self._labels]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loads += [given[name] for name in ("src", "srcset", "background", "poster") if name in given]
        self.scripts += tag == "script" or any(name.startswith("on") for name in given)
        match tag:
            case "html":
                self.language = given.get("lang", "")
            case "link":
                self.loads.append(given.get("href", ""))
            case "form":
                self.forms.append(Form(action=given.get("action", ""), method=given.get("method", "get")))
            case "label" if "for" in given:
                self._labels.add(given["for"])
            case "h1" | "h2" | "h3":
                self.headings.append(int(tag[1]))
            case "input":
                self._input(given)
            case "textarea":
                self._named.append((given.get("id", ""), given["name"]))
                self.forms[-1].fields[given["name"]] = ""
        if tag not in self.VOID:
            self._open.append(tag)

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind == "radio":
            if "label" not in self._open or "fieldset" not in self._open:
                self.unlabelled.append(given["name"])
            if "checked" not in given:
                return
        self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        match self._open[-1:]:
            case ["style"]:
                self.style += data
            case ["title"]:
                self.title += data
            case ["button"]:
                self.forms[-1].button += data
            case _:
                self.text += data

    def form(self, action: str) -> Form:
        """The form with this hidden `action`."""
        [found] = [form for form in self.forms if form.fields.get("action") == action]
        return found


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours "#rrggbb" (WCAG 2.2, 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
