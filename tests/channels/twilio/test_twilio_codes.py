"""What each of Twilio's codes comes to, said once more by hand: an answer to our call, and a report after it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from channels.twilio.errors import Refused, judge
from normalizer.message import Delivery
from normalizer.twilio_codes import verdict
from tests.mailboxes.desk import ROOT

CALLS: dict[tuple[Delivery, str, bool], tuple[int, ...]] = {
    (Delivery.RETRY, "address", False): (20429, 21611, 30001, 63017, 63018),
    (Delivery.RETRY, "address", True): (20003, 20404, 30002),
    (Delivery.UNREACHABLE, "address", False): (21211, 21614, 30006),
    (Delivery.UNREACHABLE, "consent", False): (21610,),
    (Delivery.UNREACHABLE, "channel", False): (21612, 63003, 63016, 63024),
    (Delivery.UNREACHABLE, "channel", True): (21408, 21606, 30034),
    (Delivery.REFUSED, "address", False): (21617, 21619, 99999),
}
"""(delivery, what it is about, whether operators hear) -> codes."""
REPORTS: dict[str, tuple[str, ...]] = {
    "temporary": ("20429", "21611", "30001", "30003", "30008", "30036", "63017", "63018"),
    "unreachable": ("21211", "21614", "30004", "30005", "30006"),
    "consent": ("21610",),
    "permanent": ("21612", "21617", "63003", "63016", "63024", "99999", ""),
    "alarm": ("20003", "21408", "21606", "30002", "30007", "30034"),
}


@pytest.mark.parametrize(("wanted", "code"), [(wanted, code) for wanted, codes in CALLS.items() for code in codes])
def test_what_an_answer_comes_to(wanted: tuple[Delivery, str, bool], code: int) -> None:
    judged = judge(Refused(400, code, "as it says"))
    assert (judged.receipt.delivery, judged.receipt.about, bool(judged.alarm)) == wanted
    assert not judged.receipt.uncertain, "who answers with a code sent nothing"


@pytest.mark.parametrize(("wanted", "code"), [(wanted, code) for wanted, codes in REPORTS.items() for code in codes])
def test_what_a_report_comes_to(wanted: str, code: str) -> None:
    assert {verdict(state, code)[0] for state in ("undelivered", "failed", "canceled")} == {wanted}
    assert {verdict(state, code) for state in ("accepted", "queued", "sending", "sent", "delivered", "read")} == {
        ("", "")
    }


def test_an_account_is_built_without_the_client_of_the_rest_api() -> None:
    program = (
        "import sys; from pathlib import Path; from channels.registry import CHANNELS; "
        "from tests.twilio.provider import ACCOUNT, wiring; channel = CHANNELS['sms']; "
        "channel.build({'main': channel.settings.model_validate(ACCOUNT)}, wiring(Path('/nonexistent'))); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "channels.twilio.outbound" in loaded
    assert loaded.isdisjoint({"twilio.rest", "twilio.http", "requests", "channels.twilio.rest"})
