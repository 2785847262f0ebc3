"""What the tests of calls have from pytest."""

from tests.twilio.provider import nobody

__all__ = ["nobody"]
