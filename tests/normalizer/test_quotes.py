"""The visible part of replies as the mailers of our users write them."""

from __future__ import annotations

import pytest

from normalizer.mail import quotes

QUOTE = "> Проверьте кабель питания.\n> И сообщите результат."
INTRODUCTIONS = {
    "gmail ru": "вт, 10 мар. 2026 г. в 12:00, Служба <support@desk.example>:",
    "gmail ru old": "вт, 10 мар. 2026 г., 11:40 Служба <support@desk.example>:",
    "gmail user ru": "10 марта 2026 г., 12:00 пользователь Служба <support@desk.example> написал:",
    "gmail uk": "вт, 10 бер. 2026 р. о 12:00 Служба <support@desk.example> пише:",
    "gmail en": "On Tue, Mar 10, 2026 at 12:00 PM Desk <support@desk.example> wrote:",
    "gmail en wrapped": "On Tue, Mar 10, 2026 at 12:00 PM The Support Desk <\nsupport@desk.example> wrote:",
    "yandex": '10.03.2026, 14:22, "Служба" <support@desk.example>:',
    "mail.ru": "Вторник, 10 марта 2026, 15:01 +05:00 от Служба <support@desk.example>:",
    "the bat": "Вы писали 10 марта 2026 г., 16:00:00:",
    "evolution": "В Вт, 10/03/2026 в 17:12 +0300, Служба пишет:",
    "thunderbird ru": "10.03.2026 12:00, Служба пишет:",
    "thunderbird uk": "10.03.26 17:40, Служба підтримки пише:",
    "apple ru": "10 марта 2026 г., в 15:00, Служба <support@desk.example> написал(а):",
    "apple uk": "10 бер. 2026 р. о 15:00 Служба <support@desk.example> написав(ла):",
    "apple en": "On 10 Mar 2026, at 15:00, Desk <support@desk.example> wrote:",
    "horde": "Цитирование Служба <support@desk.example>:",
    "kmail": "В письме от вторник, 10 марта 2026 г. 18:00:00 MSK пользователь Служба написал:",
    "roundcube": "Служба писал(а) 10.03.2026 16:00:",
    "proton": "вторник, 10 марта 2026 г. в 12:30, Служба <support@desk.example> написал(а):",
    "german": "Am 10.03.2026 um 12:00 schrieb Desk <support@desk.example>:",
    "dutch": "Op 10 maart 2026 12:00 schreef Desk <support@desk.example>:",
}
BLOCKS = {
    "outlook ru": "От: Служба <support@desk.example>\nОтправлено: 10 марта 2026 г. 12:00\nКому: Анна\nТема: Кабель",
    "outlook uk": "Від: Служба <support@desk.example>\nНадіслано: 10 березня 2026 р.\nКому: Ганна\nТема: Кабель",
    "outlook en": "From: Desk [mailto:support@desk.example]\nSent: Tuesday, March 10, 2026\nTo: Ann\nSubject: Cable",
    "outlook bold": "*From:* Desk\n*Sent:* Tuesday\n*To:* Ann\n*Subject:* Cable",
    "outlook rule": "________________________________\nОт: Служба\nОтправлено: вторник\nКому: Анна\nТема: Кабель",
    "outlook wrapped": "From: Desk\nSent: Tuesday\nTo: Ann; Bob;\n Eve; Kim\nSubject: Cable",
    "original ru": "-----Исходное сообщение-----\nтекст",
    "original uk": "--- Вихідне повідомлення ---\nтекст",
    "original en": "-----Original Message-----\ntext",
    "samsung": "-------- Исходное сообщение --------\nОт: Служба\nДата: 10.03.2026\nКому: Анна\nТема: Кабель",
    "zoho": "---- On Tue, 10 Mar 2026 12:00:00 +0200 support@desk.example wrote ----",
}


@pytest.mark.parametrize("name", INTRODUCTIONS)
def test_an_answer_above_the_quote(name: str) -> None:
    assert quotes.visible(f"Кабель цел.\n\n{INTRODUCTIONS[name]}\n\n{QUOTE}", forward=False) == "Кабель цел."


@pytest.mark.parametrize("name", INTRODUCTIONS)
def test_an_answer_below_the_quote(name: str) -> None:
    assert quotes.visible(f"{INTRODUCTIONS[name]}\n{QUOTE}\n\nКабель цел.", forward=False) == "Кабель цел."


@pytest.mark.parametrize(
    "name", ["gmail ru", "gmail en", "yandex", "gmail uk", "proton", "gmail en wrapped", "apple en"]
)
def test_an_introduction_that_is_sure_cuts_text_without_marks(name: str) -> None:
    assert quotes.visible(f"Кабель цел.\n\n{INTRODUCTIONS[name]}\n\nПроверьте кабель.", forward=False) == "Кабель цел."


@pytest.mark.parametrize("name", BLOCKS)
def test_everything_below_a_header_block_is_old(name: str) -> None:
    assert quotes.visible(f"Кабель цел.\n\n{BLOCKS[name]}\n\nПроверьте кабель.", forward=False) == "Кабель цел."


@pytest.mark.parametrize("name", ["outlook ru", "outlook uk", "outlook en", "outlook rule", "samsung"])
def test_a_forward_shows_what_is_forwarded(name: str) -> None:
    assert "Проверьте кабель." in quotes.visible(f"См. ниже.\n\n{BLOCKS[name]}\n\nПроверьте кабель.", forward=True)


INTERLEAVED = "10.03.2026 13:00, Служба пишет:\n> Когда началось?\nВ шесть утра.\n\n> Что меняли?\nОбновили Windows."


def test_an_answer_between_the_lines_is_never_trimmed() -> None:
    assert quotes.visible(INTERLEAVED, forward=False) == INTERLEAVED


def test_but_its_signature_is() -> None:
    assert quotes.visible(f"{INTERLEAVED}\n\n-- \nИван", forward=False) == INTERLEAVED


UNTOUCHED = {
    "somebody writes": "Мастер смены пишет:\n«станок встал, на панели Е-204».\nЧто делать?",
    "a program writes": "11.03.2026 в 12:00 программа пишет:\nОшибка 5.",
    "write to": "Прошу ответить до 10.03.2026 на адрес a@client.example:\nочень срочно",
    "only a quote": "> всё письмо\n> цитата",
    "only a block": BLOCKS["outlook ru"],
    "dashes": "Итоги:\n----\n1. Быстрее\n----\nКонец.",
    "points": "Причины:\n-- первая\n-- вторая\nСпасибо!",
    "address": "From: our database, not From: other sources.\nMore text.",
    "sent from": "Письмо было отправлено с сервера, но не пришло.",
    "sent from desk": "Hello\n\nSent from my desk, is much easier than the phone.",
    "url": "Смотрите http://wiki.example/a:b\nтам всё есть",
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_no_quote_stays(name: str) -> None:
    assert quotes.visible(UNTOUCHED[name], forward=False) == UNTOUCHED[name]


SIGNATURES = (
    "-- \nИван Котов\nООО «Лес»",
    "--\nИван Котов",
    "Отправлено с iPhone",
    "Надіслано з мого iPhone",
    "Sent from my iPad",
    "Отправлено из Почты для Windows",
    "Скачать Outlook для iOS<https://aka.example/o>",
    "Get Outlook for Android",
    "Отправлено с помощью безопасной почты Proton Mail.",
    "--\nОтправлено из мобильного приложения Яндекс Почты",
    "Проверено Kaspersky Anti-Virus. Вирусы не найдены.",
    "Sent from Mail for Windows\nhttps://go.example/1",
    "_______\nlist mailing list\nhttps://lists.example/",
    "—————\nAnn, Manager",
)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_is_dropped(signature: str) -> None:
    assert quotes.visible(f"Турникет не пускает.\n\n{signature}", forward=False) == "Турникет не пускает."


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_text_that_is_only_a_signature_stays(signature: str) -> None:
    assert quotes.visible(signature, forward=False) == signature.replace("-- \n", "--\n")


def test_a_line_that_a_mailer_wrapped_without_the_mark_is_quoted() -> None:
    question = ">> Какие каталоги нужно включить в резервную копию и как часто её\nделать\n>> впредь."
    text = f"X писал(а) 10.03.2026 16:00:\n{question}\n\nДва."
    assert quotes.visible(text, forward=False) == "Два."


def test_an_answer_of_one_line_between_quotes_is_not_taken_for_a_wrapped_one() -> None:
    text = "> Сообщите, пожалуйста, какая версия программы у вас установлена?\nВерсия 8\n> И какой сервер?"
    assert "Версия 8" in quotes.visible(text, forward=False)


def test_an_empty_text_has_nothing_visible() -> None:
    assert quotes.visible(" \n\n", forward=False) == ""


def test_thousands_of_lines_are_kept() -> None:
    text = "\n".join(f"строка {n}" for n in range(6000))
    assert quotes.visible(text, forward=False) == text
