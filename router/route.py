"""A message and a policy -> class, line, on-site flag, deadlines, and why.

Only a rule or a confident guess sets a class. Everything else stays open on line 1 with the best guess beside it,
and no text of a message sets a field by itself: words are only compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from normalizer.message import Message
from router import rules as table
from router.assignment import Assignment, Line, Reason
from router.classes import title
from router.classifier import Guess
from router.contracts import covering
from router.lines import existing, usual
from router.policy import Contract, Policy
from router.sla import Moment, deadlines
from router.words import Reduced, reduce

RULE_CONFIDENCE = 0.97
"""Of a class that a rule sets: as sure as its author, who is a person."""
NOTHING_SAID_CONFIDENCE = 0.95
"""That class 6 is acceptable for a message without a request."""
CHOSEN_CONFIDENCE = 0.5
"""Of what somebody chose from a menu: people press the first key for many reasons."""
CHOSEN: Mapping[str, tuple[int, str]] = {"urgent": (3, "the caller chose “everything has stopped”")}
"""What was chosen in a call -> the class that it hints at, and why. A hint proposes a class and sets none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """What rules and classifier say, before the contract has its word."""

    class_: int | None
    best: int | None
    confidence: float
    line: Line
    line_reason: Reason | None
    because: tuple[Reason, ...]


def route(
    message: Message, policy: Policy, now: datetime, *, channel: str, account: str, contract: str | None = None
) -> Assignment:
    """Decide for a new ticket.

    `now` is the source's time of the message: clocks start at it. `contract` is a key that is known already (staff
    named it); None: found by the sender's address.
    """
    covered, reason = _contract(message, policy, channel, contract)
    said = ("", "") if message.ours else (message.subject, message.visible_text or message.text)
    reduced = reduce(*said, message.language, policy.vocabulary)
    hits = table.hits(
        policy.rules,
        table.Subject(
            message=message,
            reduced=reduced,
            channel=channel,
            account=account,
            contract=covered.key if covered else "none",
            calendar=policy.calendar_of(covered.key if covered else None),
            now=now,
        ),
    )
    guess = policy.classifier.guess(reduced) if policy.classifier and not message.ours else None
    decided = _decide(message, policy, reduced, hits, guess)
    onsite, onsite_reasons = _onsite(policy, hits, guess)
    tags, tag_reasons = _tags(policy, hits, covered)
    line, class_, placed = _place(decided, policy, covered)
    clocks = deadlines(
        [Moment(at=now, kind="opened", data={"class": class_, "contract": covered.key if covered else None})], policy
    )
    return Assignment(
        contract=covered.key if covered else None,
        class_=class_,
        proposed_class=None if class_ else decided.best,
        confidence=decided.confidence,
        line=line,
        proposed_line=None if line == decided.line else decided.line,
        onsite=onsite,
        tags=tags,
        deadlines=clocks,
        because=(reason, *decided.because, *placed, *onsite_reasons, *tag_reasons),
        policy=policy.version,
    )


def _contract(message: Message, policy: Policy, channel: str, known: str | None) -> tuple[Contract | None, Reason]:
    if known is not None and known in policy.contracts:
        return policy.contracts[known], Reason(what="contract", value=known, cause=f"contract:{known}", detail="named")
    return covering(policy, message.sender.address, channel=channel)


# -- class and line -----------------------------------------------------------------------


def _decide(
    message: Message, policy: Policy, reduced: Reduced, hits: Sequence[table.Hit], guess: Guess | None
) -> _Decided:
    by_rule = next((hit for hit in hits if hit.rule.class_), None)
    sure = guess is not None and guess.confidence >= policy.thresholds.class_
    if by_rule is not None and by_rule.rule.class_ is not None:
        class_: int | None = by_rule.rule.class_
        best, confidence = class_, RULE_CONFIDENCE
        because = Reason(
            what="class",
            value=str(class_),
            cause=f"rule:{by_rule.rule.id}",
            detail=f"{title(class_)}: {by_rule.detail}",
        )
    elif not sure and (hinted := _hinted(message)) is not None:
        class_, (best, confidence, because) = None, hinted
    elif (nothing := _nothing_said(message, reduced)) is not None:
        class_, best, confidence = None, 6, NOTHING_SAID_CONFIDENCE
        because = Reason(what="class", value="open", cause=nothing, detail="there is no request in it")
    elif guess is None or policy.classifier is None:
        class_, best, confidence = None, None, 0.0
        because = Reason(what="class", value="open", cause="default", detail="no rule holds and no word is known")
    else:
        best, confidence = guess.class_, guess.confidence
        class_ = best if sure else None
        because = _guessed(policy, guess, class_)
    line, line_reason = _line(policy, hits, guess, best)
    return _Decided(
        class_=class_, best=best, confidence=confidence, line=line, line_reason=line_reason, because=(because,)
    )


def _hinted(message: Message) -> tuple[int | None, float, Reason] | None:
    """(Best class, confidence, why) of what was chosen and not said; None where words have to tell."""
    for key in message.chosen:
        if key in CHOSEN:
            class_, why = CHOSEN[key]
            detail = f"looks like {title(class_)}: {why}, and no words that decide"
            return class_, CHOSEN_CONFIDENCE, Reason(what="class", value="open", cause=f"chosen:{key}", detail=detail)
    if not message.ours:
        return None
    detail = "nobody has written down yet what was said"
    return None, 0.0, Reason(what="class", value="open", cause="text:unheard", detail=detail)


def _nothing_said(message: Message, reduced: Reduced) -> str | None:
    """The cause why there is no request in a message, or None."""
    if message.kind != "message":
        return f"kind:{message.kind}"
    if not any(token.isalpha() or len(token) > 3 for token in reduced.tokens):
        return "text:empty"
    return "text:thanks" if message.thanks else None


def _guessed(policy: Policy, guess: Guess, class_: int | None) -> Reason:
    sure, needed = f"{guess.confidence:.0%}", f"{policy.thresholds.class_:.0%}"
    words = f"; words: {', '.join(guess.evidence)}" if guess.evidence else ""
    version = policy.classifier.version if policy.classifier else ""
    detail = (
        f"{title(class_)}, {sure} sure{words}"
        if class_
        else f"looks like {title(guess.class_)}, but {sure} is below the {needed} that decides{words}"
    )
    return Reason(what="class", value=str(class_ or "open"), cause=f"classifier:{version}", detail=detail)


def _line(
    policy: Policy, hits: Sequence[table.Hit], guess: Guess | None, best: int | None
) -> tuple[Line, Reason | None]:
    by_rule = next((hit for hit in hits if hit.rule.line), None)
    if by_rule is not None and by_rule.rule.line is not None:
        line = by_rule.rule.line
        return line, Reason(what="line", value=line, cause=f"rule:{by_rule.rule.id}", detail=by_rule.detail)
    if best is None:
        return "L1", None
    if guess is not None and guess.class_ == best and guess.line_confidence >= policy.thresholds.line:
        version = policy.classifier.version if policy.classifier else ""
        detail = f"{guess.line_confidence:.0%} sure"
        return guess.line, Reason(what="line", value=guess.line, cause=f"classifier:{version}", detail=detail)
    return usual(policy, best)


def _place(decided: _Decided, policy: Policy, contract: Contract | None) -> tuple[Line, int | None, tuple[Reason, ...]]:
    """The line where the ticket stands now, the class it gets now, and why."""
    by_rule = decided.line_reason is not None and decided.line_reason.cause.startswith("rule:")
    class_ = decided.class_
    if class_ is None and not by_rule:
        reason = Reason(what="line", value="L1", cause="class:open", detail="line 1 classifies what is not sure")
        return "L1", None, (reason,)
    if contract is None and policy.stranger_line is not None and not by_rule:
        line = policy.stranger_line
        return line, class_, (Reason(what="line", value=line, cause="contract:none", detail="no contract covers it"),)
    if contract is not None and contract.first_line == "confirm" and not by_rule:
        cause = f"contract:{contract.key}"
        proposal = Reason(what="class", value="open", cause=cause, detail="this contract wants a person to confirm")
        return "L1", None, (proposal, Reason(what="line", value="L1", cause=cause, detail=proposal.detail))
    line, other = existing(decided.line, contract)
    return line, class_, tuple(reason for reason in (decided.line_reason, other) if reason is not None)


# -- on-site and tags ---------------------------------------------------------------------


def _onsite(policy: Policy, hits: Sequence[table.Hit], guess: Guess | None) -> tuple[bool, tuple[Reason, ...]]:
    by_rule = next((hit for hit in hits if hit.rule.onsite is not None), None)
    if by_rule is not None:
        onsite = bool(by_rule.rule.onsite)
        value = "yes" if onsite else "no"
        return onsite, (Reason(what="onsite", value=value, cause=f"rule:{by_rule.rule.id}", detail=by_rule.detail),)
    if guess is None or policy.classifier is None or guess.onsite < policy.thresholds.onsite:
        return False, ()
    cause, detail = f"classifier:{policy.classifier.version}", f"{guess.onsite:.0%} sure that somebody must come"
    return True, (Reason(what="onsite", value="yes", cause=cause, detail=detail),)


def _tags(
    policy: Policy, hits: Sequence[table.Hit], contract: Contract | None
) -> tuple[tuple[str, ...], tuple[Reason, ...]]:
    found: dict[str, Reason] = {}
    if contract is None and policy.stranger_tag:
        found[policy.stranger_tag] = Reason(
            what="tag", value=policy.stranger_tag, cause="contract:none", detail="no contract covers the sender"
        )
    for hit in hits:
        for tag in hit.rule.tags:
            found.setdefault(tag, Reason(what="tag", value=tag, cause=f"rule:{hit.rule.id}", detail=hit.detail))
    return tuple(found), tuple(found.values())
