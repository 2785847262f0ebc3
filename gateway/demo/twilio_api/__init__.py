"""Twilio as far as messages and calls of people go: it signs webhooks by its documentation and brings them, well or
badly; it has the REST API that makes, shows and lists messages; and people who call, and do what TwiML lets them.

It shares no code with the channel: the signature is computed here by the text of
https://www.twilio.com/docs/usage/webhooks/webhooks-security alone.
"""

from gateway.demo.twilio_api.calls import Call, EndlessCall, Telephony
from gateway.demo.twilio_api.calls_outgoing import Outgoing, Rings
from gateway.demo.twilio_api.calls_person import Did, Leave, Person, Press, Rung, Said, Silent, Talk
from gateway.demo.twilio_api.calls_reports import Manner, Told
from gateway.demo.twilio_api.network import Mishap, Network, Tried
from gateway.demo.twilio_api.reports import NEVER, Reports
from gateway.demo.twilio_api.rest import Fault, TwilioApi
from gateway.demo.twilio_api.signing import signed_form, signed_json

__all__ = [
    "NEVER", "Call", "Did", "EndlessCall", "Fault", "Leave", "Manner", "Mishap", "Network", "Outgoing", "Person",
    "Press", "Reports", "Rings", "Rung", "Said", "Silent", "Talk", "Telephony", "Told", "Tried", "TwilioApi",
    "signed_form", "signed_json",
]  # fmt: skip
