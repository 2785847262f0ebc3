"""Twilio as far as messages to us go: it signs webhooks by its documentation and brings them, well or badly.

It shares no code with the channel: the signature is computed here by the text of
https://www.twilio.com/docs/usage/webhooks/webhooks-security alone.
"""

from gateway.demo.twilio_api.network import Mishap, Network, Tried
from gateway.demo.twilio_api.signing import signed_form, signed_json

__all__ = ["Mishap", "Network", "Tried", "signed_form", "signed_json"]
