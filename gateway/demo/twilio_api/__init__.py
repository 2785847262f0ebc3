"""Twilio as far as messages go: it signs webhooks by its documentation and brings them, well or badly; and it has the
REST API that makes, shows and lists messages.

It shares no code with the channel: the signature is computed here by the text of
https://www.twilio.com/docs/usage/webhooks/webhooks-security alone.
"""

from gateway.demo.twilio_api.network import Mishap, Network, Tried
from gateway.demo.twilio_api.reports import NEVER, Reports
from gateway.demo.twilio_api.rest import Fault, TwilioApi
from gateway.demo.twilio_api.signing import signed_form, signed_json

__all__ = ["NEVER", "Fault", "Mishap", "Network", "Reports", "Tried", "TwilioApi", "signed_form", "signed_json"]
