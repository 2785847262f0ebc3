"""Signatures by the published vector of the Standard Webhooks libraries, and everything that must not pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.feeds.contract import Forged
from gateway.feeds.signing import key_of, signed, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
NAME = "msg_p5jXN8AQM9LWM0D4loKWxJek"
GOOD = {
    "webhook-id": NAME,
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_published_vector() -> None:
    assert dict(signed(key_of(SECRET), name=NAME, at=AT, body=BODY)) == GOOD


def test_a_good_request_passes_by_either_key_and_with_several_signatures() -> None:
    other = key_of("whsec_" + "A" * 44)
    assert verify([other, key_of(SECRET)], GOOD, BODY, AT + timedelta(minutes=5)) == NAME
    several = {**GOOD, "webhook-signature": "v1,AAAA v2,x " + GOOD["webhook-signature"]}
    assert verify([key_of(SECRET)], several, BODY, AT) == NAME


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_other"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 256},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 40},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "v1,\udcff\udcfe"},
    ],
)
def test_a_changed_request_does_not(changed: dict[str, str]) -> None:
    with pytest.raises(Forged):
        verify([key_of(SECRET)], {**GOOD, **changed}, BODY, AT)


@pytest.mark.parametrize("away", [timedelta(minutes=6), -timedelta(minutes=6)])
def test_a_request_of_another_time_does_not(away: timedelta) -> None:
    with pytest.raises(Forged, match="old"):
        verify([key_of(SECRET)], GOOD, BODY, AT + away)


def test_another_body_and_no_keys_do_not() -> None:
    with pytest.raises(Forged):
        verify([key_of(SECRET)], GOOD, BODY + b" ", AT)
    with pytest.raises(Forged):
        verify([], GOOD, BODY, AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "не base64", "whsec_" + "A" * 200])
def test_what_is_no_key_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="should") as error:
        key_of(secret)
    assert not secret or secret not in str(error.value)
