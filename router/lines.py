"""From a wanted line to one that exists for the client."""

from __future__ import annotations

from router.assignment import Line, Reason
from router.policy import Contract, Policy

ORDER: tuple[Line, ...] = ("L1", "L2", "L3", "L4")


def usual(policy: Policy, class_: int) -> tuple[Line, Reason]:
    """The line that usually solves a class."""
    line = policy.class_lines.get(class_, "L1")
    return line, Reason(what="line", value=line, cause=f"class:{class_}", detail=f"class {class_} is usually {line}'s")


def existing(wanted: Line, contract: Contract | None) -> tuple[Line, Reason | None]:
    """The highest line of the contract that is not above `wanted`, else its lowest; strangers have all lines.

    The reason says why it is not the wanted one; None when it is.
    """
    if contract is None or wanted in contract.lines:
        return wanted, None
    below = [line for line in contract.lines if ORDER.index(line) < ORDER.index(wanted)]
    line = max(below, key=ORDER.index) if below else min(contract.lines, key=ORDER.index)
    detail = f"{wanted} does not exist in this contract ({', '.join(contract.lines)})"
    return line, Reason(what="line", value=line, cause=f"contract:{contract.key}", detail=detail)
