"""Charsets: declared, contradicted, guessed."""

from __future__ import annotations

import pytest

from normalizer.mail import charsets

SNIPPETS = (
    "Не работает принтер",
    "НЕ ПРАЦЮЄ ПОШТА",
    "Тендерный отдел",
    "Прайс-лист.xls",
    "не приходит почта",
    "Привет, ВАСЯ",
    "Акт",
    "ДОГОВОР",
    "СРОЧНО ПОМОГИТЕ",
    "Фото",
    "Звіт",
    "Заявка",
    "Вадим Щука",
    "ЗАЯВКА НА РЕМОНТ",
    "Коллеги, на терминальном сервере",
    "Не відкривається каталог",
    "Оновлення зламало звіти, допоможіть",
    "Сотрудники не могут войти в систему учёта",
)


@pytest.mark.parametrize("name", ["cp1251", "koi8_u", "cp866", "iso8859_5"])
@pytest.mark.parametrize("text", SNIPPETS)
def test_a_snippet_is_guessed(text: str, name: str) -> None:
    content = text.encode(name, "ignore")  # cp866 has no Ukrainian і
    assert charsets.decode(content)[0] == content.decode(name)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("utf8", "utf-8"),
        ("CP-1251", "cp1251"),
        ("win-1251", "cp1251"),
        ("koi8r", "koi8-r"),
        ('"koi8-u"', "koi8-u"),
        ("ISO-8859-1", "cp1252"),
        ("latin-1", "cp1252"),
        ("us-ascii", "ascii"),
        ("gb2312", "gb18030"),
        ("x-unknown", ""),
        ("", ""),
        ("hex", "?"),
        ("zip", "?"),
        ("rot13", "?"),
        ("unicode_escape", "?"),
        ("punycode", "?"),
        ("x-klingon", "?"),
        ("a\0b", "?"),
        ("utf-16", "utf-16"),
        ("ks_c_5601-1987", "cp949"),
    ],
)
def test_a_name_is_known(declared: str, name: str) -> None:
    assert charsets.codec(declared) == name


@pytest.mark.parametrize(
    "text", ["Grüße aus Köln, der Drucker läuft nicht", "Ça ne marche pas à l'été", "señor, mañana"]
)
def test_western_text_is_not_taken_for_cyrillic(text: str) -> None:
    assert charsets.decode(text.encode("cp1252"))[0] == text
    assert charsets.decode(text.encode("cp1252"), "iso-8859-1") == (text, "")


def test_chinese_is_left_as_declared() -> None:
    text = "打印机坏了，请帮忙"
    assert charsets.decode(text.encode("gb18030"), "gb2312") == (text, "")
    assert charsets.decode(b"\xff\xff", "gb2312")[1] == "charset:broken:gb2312"


def test_noise_is_decoded_somehow() -> None:
    text, oddity = charsets.decode(bytes(range(128, 256)))
    assert len(text) > 0
    assert oddity.startswith("charset:guessed:")


def test_a_short_cyrillic_text_in_the_other_koi8_is_believed() -> None:
    assert charsets.decode("Привет".encode("koi8_r"), "koi8-u") == ("Привет", "")


def test_all_capitals_in_a_declared_charset_are_believed() -> None:
    text = "ВСЁ ПРОПАЛО, СРОЧНО ЗВОНИТЕ В СЛУЖБУ"
    assert charsets.decode(text.encode("cp1251"), "windows-1251") == (text, "")


def test_box_drawing_is_no_reason_to_doubt_cp866() -> None:
    text = "╔══╗ Итог по кассе ╚══╝ недостача"
    assert charsets.decode(text.encode("cp866"), "ibm866") == (text, "")


def test_letters_of_another_alphabet_are_left_alone() -> None:
    text = "Η σελίδα δεν ανοίγει"
    assert charsets.decode(text.encode("iso8859_7"), "iso-8859-7") == (text, "")


def test_a_long_utf8_text_broken_late_stays_utf8() -> None:
    data = ("слово " * 3000).encode() + b"\xd0 " + ("ещё " * 2000).encode()
    assert charsets.decode(data, "utf-8")[1] == "charset:broken:utf-8"
