"""Encoded words, parameters and address lists."""

from __future__ import annotations

import pytest

from normalizer.mail import addresses, words


def _surrogates(text: bytes) -> str:
    return text.decode("ascii", "surrogateescape")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain  text\r\n folded", "plain text folded"),
        ("=?utf-8?B?0J/RgNC40LLQtdGC?=", "Привет"),
        ("=?utf-8?B?0J/RgNC40LLQtdGC?= =?utf-8?Q?_all?=", "Привет all"),
        ("a =?utf-8?Q?b?= c", "a b c"),
        ("=?koi8-r?B?8NLJ18XU?= =?utf-8?B?0LzQuNGA?=", "Приветмир"),
        ("=?utf-8*en?Q?x?=", "x"),
        ("=?utf-8?X?x?=", "=?utf-8?X?x?="),
        ("=?utf-8?Q?x", "=?utf-8?Q?x"),
        ("=?", "=?"),
        ("tail =?utf-8?Q?", "tail =?utf-8?Q?"),
        ("=?nonsense?Q?x?=", "x"),
        ("=?utf-8?Q?a?b?=", "a?b"),
        ("a\u200bb", "ab"),
        (_surrogates("Привет".encode("cp1251")), "Привет"),
        (_surrogates(b"Re: ") + _surrogates("почта".encode()), "Re: почта"),
    ],
)
def test_a_header_becomes_text(value: str, text: str) -> None:
    assert words.decode(value, []) == text


def test_raw_bytes_are_in_the_charset_of_the_body() -> None:
    raw = _surrogates("Да".encode("koi8_r"))
    oddities: list[str] = []
    assert words.decode(raw, oddities, "koi8-r") == "Да"
    assert oddities == ["header:8bit"]


def test_bad_base64_and_a_bad_charset_are_named() -> None:
    oddities: list[str] = []
    words.decode("=?utf-8?B?0J/RgA*?= =?x-foo?Q?=CF?=", oddities)
    assert oddities == ["header:bad-base64", "charset:unknown:x-foo"]


@pytest.mark.parametrize(
    ("value", "kind", "name"),
    [
        ('application/pdf; name="a;b.pdf"', "application/pdf", "a;b.pdf"),
        ('Application/PDF (comment); name="a\\"b"', "application/pdf", 'a"b'),
        ("application/pdf; name=a b.pdf", "application/pdf", "a b.pdf"),
        ("application/pdf; name*=utf-8''%D0%90.pdf", "application/pdf", "А.pdf"),
        ("application/pdf; name*=%41.pdf", "application/pdf", "A.pdf"),
        ("application/pdf; name*=x-foo''%41.pdf", "application/pdf", "A.pdf"),
        ("application/pdf; name*0=a; name*1=b.pdf", "application/pdf", "ab.pdf"),
        ("application/pdf; name*0*=utf-8'ru'%D0; name*1*=%90; name*2=.pdf", "application/pdf", "А.pdf"),
        ('application/pdf; name="open', "application/pdf", "open"),
        ("application/pdf; =x; name", "application/pdf", ""),
        ("application/pdf", "application/pdf", ""),
        ("", "", ""),
    ],
)
def test_a_parameter_is_found(value: str, kind: str, name: str) -> None:
    main, found = words.parameters(value)
    assert (main, words.parameter(found, "name", [])) == (kind, name)


def test_an_unknown_charset_of_a_parameter_is_named() -> None:
    oddities: list[str] = []
    words.parameter({"name*": "x-foo''%CF"}, "name", oddities)
    assert oddities == ["charset:unknown:x-foo"]


def test_a_hundred_continuations_are_enough() -> None:
    found = {f"name*{n}": "a" for n in range(200)}
    assert words.parameter(found, "name", []) == "a" * 100


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("A@B.EXAMPLE.", [("", "A@b.example")]),
        ("Ann <a@b.example>", [("Ann", "a@b.example")]),
        (
            '"Doe, John" <j@b.example>, b@b.example (Bob (B))',
            [("Doe, John", "j@b.example"), ("Bob (B)", "b@b.example")],
        ),
        ("Group: a@b.example, Eve <e@b.example>;", [("", "a@b.example"), ("Eve", "e@b.example")]),
        ("undisclosed-recipients:;", []),
        ("Just a name", [("Just a name", "")]),
        ("Ann a@b.example", [("Ann", "a@b.example")]),
        ("<@r.example,@s.example:a@b.example>", [("", "a@b.example")]),
        ('"a@b.example" <a@b.example>', [("", "a@b.example")]),
        ('"Ann (a@b.example)" <>', [("Ann", "a@b.example")]),
        ("'Ann' <a@b.example>; c@d.example", [("Ann", "a@b.example"), ("", "c@d.example")]),
        ('Ann "The \\"Boss\\"" X <a@b.example>', [('Ann The "Boss" X', "a@b.example")]),
        ('<"odd local"@b.example>', [("", '"oddlocal"@b.example')]),
        ("=?utf-8?B?0JDQvdC90LA=?= <a@b.example>", [("Анна", "a@b.example")]),
        ("(only a comment)", [("only a comment", "")]),
        ("Ann <a@b.example", [("Ann", "a@b.example")]),
        ("", []),
    ],
)
def test_addresses_are_read(value: str, pairs: list[tuple[str, str]]) -> None:
    assert [(one.name, one.address) for one in addresses.parse(value, [])] == pairs
