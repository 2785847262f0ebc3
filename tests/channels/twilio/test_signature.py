"""The signature: believed is what Twilio signed with a key that it has from us, and nothing raises."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from channels.registry import CHANNELS
from channels.twilio.parts import keys_of
from channels.twilio.settings import TwilioAccount
from channels.twilio.signature import FIELDS, Keys, Signed, doubt, fields_of
from gateway.demo.twilio_api.signing import encoded, signature, signed_form, signed_json
from tests.twilio.provider import ACCOUNT, TOKEN

URL = "https://desk.example/channels/sms/main"
FORM = [
    ("Body", "Не печатает 😀"),
    ("From", "+380670000001"),
    ("Empty", ""),
    ("Body2", "a=b&c"),
    ("Twice", "x"),
    ("Twice", "y"),
]
BY = "X-Twilio-Webhooks-Signature-Settings"
SHARED = ("webhooks_sharedkey_1", "a-shared-secret")
KEYS = Keys(tokens=(TOKEN, "the-next-token"), shared=(SHARED,))


def signed(url: str, body: bytes, headers: dict[str, str]) -> Signed:
    return Signed(url=url, headers={name.lower(): value for name, value in headers.items()}, body=body)


def form(token: str = TOKEN, url: str = URL, fields: Any = FORM, **more: str) -> Signed:
    return signed(url, *signed_form(token, url, fields, **more))


def test_the_documented_example() -> None:
    # https://www.twilio.com/docs/usage/webhooks/webhooks-security gives these values.
    fields = [
        ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"), ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]  # fmt: skip
    assert signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", fields) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    "request_",
    [
        form(),
        form("the-next-token"),
        form(url=URL + "?o=17&x"),
        form(url=URL + "?"),
        form(url="https://desk.example:8443/channels/sms/main"),
        form(fields=[]),
        form(SHARED[1], shared_key=SHARED[0]),
    ],
)
def test_what_twilio_signs_is_believed(request_: Signed) -> None:
    assert doubt(request_, KEYS) is None


def test_with_and_without_the_usual_port() -> None:
    body, headers = signed_form(TOKEN, "https://desk.example:443/channels/sms/main", FORM)
    assert doubt(signed(URL, body, headers), KEYS) is None


def test_a_body_in_json_is_believed_by_its_digest() -> None:
    url, headers = signed_json(TOKEN, URL, b'{"Body": "x"}')
    assert doubt(signed(url, b'{"Body": "x"}', headers), KEYS) is None
    assert doubt(signed(url, b'{"Body": "y"}', headers), KEYS) == "wrong signature"
    assert doubt(signed(url, b"\xff", headers), KEYS) == "wrong signature"
    plain = {**headers, "X-Twilio-Signature": signature(TOKEN, URL)}
    assert doubt(signed(URL, b"{}", plain), KEYS) == "no digest of the body"


def test_a_form_on_an_address_with_a_digest_is_checked_as_a_form() -> None:
    url, headers = signed_json(TOKEN, URL, b"{}")
    stolen = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    assert doubt(signed(url, encoded([("Body", "forged"), ("From", "+1")]), stolen), KEYS) == "wrong signature"
    assert doubt(signed(url, b"Body=forged", {"X-Twilio-Signature": headers["X-Twilio-Signature"]}), KEYS) is not None


def sha256_by_token() -> dict[str, str]:
    _, headers = signed_form(TOKEN, URL, FORM, shared_key=SHARED[0])
    return headers


def sha1_by_shared_key() -> dict[str, str]:
    return {**signed_form(SHARED[1], URL, FORM)[1]}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no signature"),
        ({"X-Twilio-Signature": ""}, "no signature"),
        ({"X-Twilio-Signature": "x"}, "wrong signature"),
        ({"X-Twilio-Signature": "подпись" * 4}, "wrong signature"),
        ({"X-Twilio-Signature": "A" * 28}, "wrong signature"),
        (sha256_by_token(), "wrong signature"),
        (sha1_by_shared_key(), "wrong signature"),
        ({**form(SHARED[1], shared_key="another").headers}, "unknown key"),
        (
            {**form().headers, BY: f"key={SHARED[0]},algorithm=HMAC_SHA1"},
            "unknown key",
        ),
        ({**form().headers, BY: "algorithm=HMAC_SHA256"}, "unknown key"),
        ({**form().headers, BY: "key=a,key=b"}, "unknown key"),
        ({**form().headers, BY: "rubbish"}, "unknown key"),
        ({**form().headers, BY: f"key={SHARED[0]},algorithm=MD5"}, "unknown key"),
    ],
)
def test_what_nobody_at_twilio_signed_is_doubted(headers: dict[str, str], reason: str) -> None:
    assert doubt(signed(URL, encoded(FORM), headers), KEYS) == reason


def test_a_token_never_signs_with_the_other_algorithm() -> None:
    made = base64.b64encode(hmac.new(TOKEN.encode(), URL.encode(), hashlib.sha256).digest()).decode()
    assert doubt(signed(URL, b"", {"X-Twilio-Signature": made}), KEYS) == "wrong signature"


@pytest.mark.parametrize("where", range(len(FORM)))
def test_nothing_may_be_changed_on_the_way(where: int) -> None:
    _, headers = signed_form(TOKEN, URL, FORM)
    changed = [(name, value + "x") if number == where else (name, value) for number, (name, value) in enumerate(FORM)]
    for fields in (changed, FORM[:where] + FORM[where + 1 :], [*FORM, ("More", "")]):
        assert doubt(signed(URL, encoded(fields), headers), KEYS) == "wrong signature"
    for url in (URL + "/", URL + "?o=1", URL.replace("https", "http"), "https://other.example/x"):
        assert doubt(signed(url, encoded(FORM), headers), KEYS) == "wrong signature"


@pytest.mark.parametrize(
    "url", ["https://desk.example:99999/x", "https://[::1/x", "https://desk.example:x/", "", "//", "\ud83d"]
)
def test_an_address_that_is_none_is_a_doubt_and_no_fault(url: str) -> None:
    assert doubt(signed(url, b"Body=x", {"X-Twilio-Signature": "A" * 28}), KEYS) == "wrong signature"


def test_too_many_fields_are_doubted_before_they_cost_anything() -> None:
    body = b"&".join(b"a%d=" % number for number in range(20_000))
    assert doubt(signed(URL, body, {"X-Twilio-Signature": "A" * 28}), KEYS) == "too many fields"
    with pytest.raises(ValueError):
        fields_of(b"a&" * FIELDS + b"a")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=60), st.text(max_size=40), st.sampled_from(["", "application/json"]))
def test_whatever_is_sent_it_is_doubted_and_nothing_raises(body: bytes, sign: str, said: str, kind: str) -> None:
    headers = {"X-Twilio-Signature": sign, BY: said, "Content-Type": kind}
    assert doubt(signed(URL, body, headers), KEYS) is not None


# -- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [{"tokens": ()}, {"tokens": ("",)}, {"tokens": ("a", "")}, {"tokens": ("a",), "shared": (("k", ""),)}]
)
def test_an_empty_key_is_refused(keys: Any) -> None:
    with pytest.raises(ValueError, match="not empty"):
        Keys(**keys)


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "voice"])
@pytest.mark.parametrize(
    "secret", [{"auth_token": ""}, {"auth_token": "env:EMPTY"}, {"next_auth_token": "env:EMPTY"},
               {"shared_keys": [{"id": "k", "secret": " "}]}],
)  # fmt: skip
def test_no_account_starts_with_an_empty_secret(
    channel: str, secret: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.twilio.provider import wiring

    monkeypatch.setenv("EMPTY", "")
    account = CHANNELS[channel].settings.model_validate({**ACCOUNT, **secret})
    assert len(account.wrong_secrets()) == 1
    with pytest.raises(ValueError, match="empty"):
        from pathlib import Path

        CHANNELS[channel].build({"main": account}, wiring(Path("/nonexistent")))


def test_both_tokens_of_a_rotation_are_keys() -> None:
    account = TwilioAccount.model_validate({**ACCOUNT, "next_auth_token": SecretStr("n")})
    assert keys_of(account).tokens == (TOKEN, "n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_sid": "AC1"}, {"numbers": []}, {"numbers": ["0441234567"]}, {"numbers": ["whatsapp:x"]},
        {"public_url": "desk.example"}, {"public_url": "https://u@desk.example"}, {"public_url": "https://desk.example:99999"},
        {"outbound": "on?"}, {"unheard_of": 1}, {"api_url": ""}, {"api_url": "api.twilio.com"}, {"segments": 11},
        {"validity": "11h"}, {"timeout": "0s"}, {"prefixes": ["380"]}, {"daily_limit": 0}, {"numbers": ["4422"]},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_right(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CHANNELS["sms"].settings.model_validate({**ACCOUNT, **wrong})


def test_numbers_of_whatsapp_may_be_written_as_twilio_does() -> None:
    account = CHANNELS["whatsapp"].settings.model_validate({**ACCOUNT, "numbers": ["whatsapp:+380440000001"]})
    # The same number may take text messages, too: it is another endpoint.
    assert account.endpoints() == ("whatsapp:+380440000001",)
    assert account.reading() == {"numbers": ["+380440000001"]}
