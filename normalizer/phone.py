"""What a telephone number says of itself: whether it can be a mobile one. Pure; the tables load with the first number.

The numbering plans are those of libphonenumber (https://github.com/google/libphonenumber). A number that was taken
along to another network is still of the kind that it was given as.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["mobile", "fixed", "unknown"]
"""fixed: a landline, or a number that firms are called by (free of charge, premium, universal access). unknown: it may
be either, or is in no plan."""


@lru_cache(maxsize=4096)
def kind(number: str) -> Kind:
    """The kind of a number in E.164 with its plus sign; unknown for anything else."""
    # Three megabytes and twenty milliseconds that a desk without telephones does not pay.
    from phonenumbers import NumberParseException, PhoneNumberType, number_type, parse

    try:
        found = number_type(parse(number, None))
    except NumberParseException:
        return "unknown"
    if found == PhoneNumberType.MOBILE:
        return "mobile"
    firms = (PhoneNumberType.TOLL_FREE, PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.UAN)
    return "fixed" if found == PhoneNumberType.FIXED_LINE or found in firms else "unknown"
