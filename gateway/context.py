"""What every function that works inside a transaction is given beside the connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.call_policy import CallPolicy
from gateway.survey_policy import SurveyPolicy
from gateway.texts import Texts

if TYPE_CHECKING:
    from gateway.keyring import Keyring
    from gateway.settings import Settings
    from router.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One version of the configuration and the key; replaced as a whole when files change."""

    settings: Settings
    policy: Policy
    keyring: Keyring
    surveys: SurveyPolicy = field(default_factory=SurveyPolicy)
    calls: CallPolicy = field(default_factory=CallPolicy)
    texts: Texts = field(default_factory=Texts)
    """Empty: notices go out as plain fallbacks, and pages say little."""
