"""The language of a short text by script, letters and frequent words; no model, five microseconds."""

from __future__ import annotations

import re

from normalizer.wordlists import listed

_WORD = re.compile(r"[\w'-]+")
_URLS = re.compile(r"(?:https?://|www\.)\S{1,2000}|\S{1,64}@\S{1,255}")
_SAMPLE = 600
_UKRAINIAN = "іїєґ"
_RUSSIAN = "ыэъё"
_CYRILLIC = "оаеиіунтрсвлкмпд"
_LATIN = "eationsrhldcum"
"""Letters that make up most of a text: counting them is many times cheaper than counting all."""

_RU = listed("""
    и что как это все всё при нет есть для по не на из от или если уже только когда был была было были быть спасибо
    пожалуйста здравствуйте добрый день коллеги прошу просьба сегодня вчера сейчас можно нужно надо очень после перед
    работает работают помогите проблема ошибка почему где чтобы также тоже меня мне нас нам вас вам ваш наш она они он
    пишет сделать сделайте включить проверьте подскажите доступ с со к ко об про без через между заявка сервер письмо
    готово хорошо отлично да будет пока принято ответ оценка который которая которые времени уважением после обеда
    почта почту сайт пароль компьютер договор счет счёт отчет отчёт до у в так та лист
    клиент клиенты сотрудник просим сообщите наша
""")
_UK = listed("""
    і й та що як це все при немає є для по не на із від або якщо вже тільки коли був була було були бути дякую дякуємо
    прошу ласка вітаю добрий день колеги сьогодні вчора зараз можна треба потрібно дуже після перед працює працюють
    допоможіть проблема помилка чому де щоб також теж мене мені нас нам вас вам ваш наш вона вони він пише зробити
    зробіть увімкнути перевірте підкажіть доступ з зі до про без через між заявка запит сервер лист готово добре
    відмінно так буде поки відповідь оцінка який яка які повагою пошта пошту сайт пароль комп'ютер договір рахунок звіт
    клієнт клієнти пароль сайт наша без от будь ще бо у в доброго ранку
""")
_RU_ONLY, _UK_ONLY = _RU - _UK, _UK - _RU
_LATIN_WORDS = {
    "en": listed("""
        the and is are was were be been to of in on for with this that it not have has had you your we our please
        thanks thank hello hi dear can could will would when how what why after before from at my an does doesn't don't
        can't error working yes no but if or as by all any there he she they i'm regards best need help issue
    """),
    "de": listed("und der die das ist nicht ich wir sie ein eine mit für auf von zu bitte danke hallo den dem im es"),
    "fr": listed("le la les et est une des du que pour dans nous vous je pas merci bonjour sur avec plus au ce ne"),
    "es": listed("el los las y es una de que para en con por gracias hola no se su más como está del al un mi"),
    "pl": listed("i w na nie jest się do z że dziękuję proszę dzień dobry jak to po od czy za są mam dla"),
    "it": listed("il di che e un una per non sono grazie con del della buongiorno questo mi è anche come"),
    "pt": listed("o os as e é uma de que para em com por obrigado olá não se do da no na um"),
    "nl": listed("de het een en van is niet dat op met voor zijn ik je dank hallo wij u aan er"),
    "tr": listed("ve bir bu için ile de da ne var yok merhaba teşekkürler lütfen çok"),
}  # fmt: skip
_SCRIPTS = (
    ("el", re.compile("[\u0370-\u03ff]")), ("he", re.compile("[\u0590-\u05ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")), ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")), ("zh", re.compile("[\u4e00-\u9fff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")), ("ka", re.compile("[\u10a0-\u10ff]")),
    ("hy", re.compile("[\u0530-\u058f]")),
)  # fmt: skip
_ENOUGH_WORDS = 5


def guess(text: str) -> tuple[str, bool]:
    """(ISO 639-1 code or "", sure): sure means that the evidence is clear and the text has five words or more."""
    sample = text[:_SAMPLE]
    if "@" in sample or "://" in sample or "www." in sample:
        sample = _URLS.sub(" ", sample)
    words = [
        word
        for word in _WORD.findall(sample.lower().replace("’", "'").replace("ʼ", "'"))
        if word.isalpha() or "'" in word
    ]
    if not words:
        return "", False
    enough = len(words) >= _ENOUGH_WORDS
    if sample.isascii():
        return _latin(words, enough)
    lower = sample.lower()
    cyrillic, latin = sum(map(lower.count, _CYRILLIC)), sum(map(lower.count, _LATIN))
    if cyrillic and cyrillic * 4 >= latin:
        return _cyrillic(lower, words, enough)
    for code, script in _SCRIPTS:
        if len(script.findall(sample)) * 3 > latin + cyrillic:
            return code, enough
    return _latin(words, enough)


def _cyrillic(lower: str, words: list[str], enough: bool) -> tuple[str, bool]:
    uk = 2 * sum(map(lower.count, _UKRAINIAN)) + 3 * sum(map(_UK_ONLY.__contains__, words))
    ru = 2 * sum(map(lower.count, _RUSSIAN)) + 3 * sum(map(_RU_ONLY.__contains__, words))
    if uk == ru == 0:
        ru = 1  # no letter and no word of its own: Russian is the likelier by its share of mail
    code, more, less = ("uk", uk, ru) if uk > ru else ("ru", ru, uk)
    return code, enough and more >= 4 and more >= 2 * less


def _latin(words: list[str], enough: bool) -> tuple[str, bool]:
    counts = {"en": sum(map(_LATIN_WORDS["en"].__contains__, words))}
    if counts["en"] * 3 >= len(words):
        return "en", enough
    counts |= {code: sum(map(known.__contains__, words)) for code, known in _LATIN_WORDS.items()}
    best = max(counts, key=lambda code: (counts[code], code == "en"))
    if counts[best] == 0 or (best != "en" and counts[best] == 1 and len(words) > 3):
        return "", False
    second = max(count for code, count in counts.items() if code != best)
    return best, enough and counts[best] >= 2 and counts[best] >= second + 2
