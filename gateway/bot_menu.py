"""The menu of a bot: the commands that people see, with what they do, in each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.dialogs.bot import MENU
from gateway.texts import LANGUAGES, Texts


def menu(texts: Texts) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Language -> (command without a slash, what it does), in the order of the menu."""
    return {
        language: [(name, texts.pages.get(language, {}).get(f"command_{name}", name)) for name in MENU]
        for language in LANGUAGES
    }
