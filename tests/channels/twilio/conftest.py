"""What the tests of Twilio's channels have from pytest."""

from tests.twilio.provider import nobody

__all__ = ["nobody"]
