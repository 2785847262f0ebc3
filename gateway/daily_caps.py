"""How many messages that cost money go out in a day, by account and by contract.

A message is counted before it is sent, when it is tried for the first time. Days are UTC's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from gateway.context import Context
from gateway.store import counters, tickets
from gateway.store.outbox import Row

DAY = timedelta(days=1)


def is_counted(ctx: Context, row: Row) -> bool:
    """Whether this try is to be counted: it costs money, and it is the row's first."""
    account = ctx.settings.account(row.channel, row.account)
    if account is None or account.most_a_day() is None or row.attempts > 1:
        return False
    return account.costs(row.kind, row.recipient)


def count(conn: Connection, ctx: Context, row: Row, now: datetime) -> str:
    """Count it. Why it must not go out, in words for staff; "" when it may."""
    account = ctx.settings.account(row.channel, row.account)
    most = account.most_a_day() if account is not None else None
    if most is None:
        return ""
    day = counters.bucket(now, DAY)
    # The contract's first: what it stops takes no place from the account's others.
    contract = ctx.policy.contracts.get(_contract(conn, row))
    its = contract.messages_daily if contract is not None else None
    if contract is not None and its is not None and counters.count_up(conn, _of_contract(contract.key), day) > its:
        return f"contract {contract.key} has had its {its} messages of today (`messages_daily`)"
    if counters.count_up(conn, _of_account(row.channel, row.account), day) > most:
        return f"{row.channel}/{row.account} has sent its {most} messages of today (`daily_limit`)"
    return ""


def exceeded(conn: Connection, ctx: Context, now: datetime) -> Mapping[str, str]:
    """Name -> words for operators, of every cap that something ran into today."""
    day, found = counters.bucket(now, DAY), dict[str, str]()
    for channel, accounts in ctx.settings.channels.items():
        for name, account in accounts.items():
            most = account.most_a_day()
            wanted = counters.reading(conn, _of_account(channel, name), day) if most is not None else 0
            if most is not None and wanted > most:
                found[f"daily limit {channel}/{name}"] = (
                    f"{wanted - most} messages did not go out by {channel}/{name} today: its limit is {most} a day"
                    " (`daily_limit`); they took the next channel where there is one"
                )
    for key, contract in ctx.policy.contracts.items():
        most = contract.messages_daily
        wanted = counters.reading(conn, _of_contract(key), day) if most is not None else 0
        if most is not None and wanted > most:
            found[f"daily limit of contract {key}"] = (
                f"{wanted - most} messages to people of {key} did not go out today: the contract's limit is {most} a"
                " day (`messages_daily`); they took the next channel where there is one"
            )
    return found


def _contract(conn: Connection, row: Row) -> str:
    return str(tickets.get(conn, row.ticket_id).contract or "") if row.ticket_id is not None else ""


def _of_account(channel: str, account: str) -> str:
    return f"auto:day:sent:{channel}:{account}"


def _of_contract(key: str) -> str:
    return f"auto:day:sent contract:{key}"
