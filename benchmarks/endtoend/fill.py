"""Old tickets in bulk: rows as filing leaves them, written by SQLite itself and not one by one."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from gateway.store.database import migrate
from gateway.ticket_numbers import number_for

CHUNK = 50_000
BODY = 600
"""Bytes of a body; short, so that a million tickets are some gigabytes and not many."""
AGE = 40 * 86_400 * 1_000_000
"""Microseconds: how long ago the newest of them came."""

_ROWS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
_AT = "(:now - (:total - i) * 1000000)"
_STATEMENTS = (
    "INSERT INTO contact (id, name, created_at) {rows} SELECT i, 'Client ' || i, {at} FROM n",
    "INSERT INTO identity (kind, value, contact_id) {rows} SELECT 'mail', 'old' || i || '@client.example', i FROM n",
    "INSERT INTO entry (id, channel, account, format, external_id, fingerprint, dedupe, peer, received_at, accepted_at,"
    " size, sha256, facts, state, processed_at, outcome) {rows} SELECT i, 'mail', 'support', 'mail/1',"
    " 'old.' || i || '@client.example', hex(randomblob(32)), randomblob(32), 'old' || i || '@client.example', {at},"
    " {at}, {body}, hex(randomblob(32)), '{{}}', 'done', {at}, '{{\"kind\": \"opened\"}}' FROM n",
    "INSERT INTO raw (entry_id, content) {rows} SELECT i, randomblob({body}) FROM n",
    "INSERT INTO delivery (entry_id, account, recipient) {rows} SELECT i, 'support', 'support@desk.example' FROM n",
    "INSERT INTO ticket (id, number, channel, account, entry_id, requester_id, requester, subject, language, status,"
    " line, tags, opened_at, updated_at, because) {rows} SELECT i, number_for(i), 'mail', 'support', i, i,"
    " 'old' || i || '@client.example', 'An old request ' || i, 'en', 'closed', 'L1', '[]', {at}, {at}, '[]' FROM n",
    "INSERT INTO participant (ticket_id, address, role, name) {rows} SELECT i, 'old' || i || '@client.example',"
    " 'requester', 'Client ' || i FROM n",
    "INSERT INTO message (id, ticket_id, entry_id, direction, kind, author, subject, text, visible_text, at) {rows}"
    " SELECT i, i, i, 'in', 'message', 'old' || i || '@client.example', 'An old request ' || i,"
    " hex(randomblob({body} / 2)), hex(randomblob({body} / 2)), {at} FROM n",
    "INSERT INTO thread_key (kind, value, ticket_id, issued) {rows} SELECT 'message_id', 'old.' || i ||"
    " '@client.example', i, 0 FROM n",
    "INSERT INTO thread_key (kind, value, ticket_id, issued, recipient) {rows} SELECT 'reply_token',"
    " lower(hex(randomblob(13))), i, 1, 'old' || i || '@client.example' FROM n",
    "INSERT INTO conversation (channel, account, peer, ticket_id, last_at) {rows} SELECT 'mail', 'support',"
    " 'old' || i || '@client.example', i, {at} FROM n",
    "INSERT INTO event (ticket_id, at, actor, kind, data, key) {rows} SELECT i, {at}, 'requester', 'opened',"
    " '{{\"line\": \"L1\"}}', 'opened:' || i FROM n",
    "INSERT INTO outbox (key, lane, kind, ticket_id, channel, account, recipient, language, template, variables,"
    " message_id, reply_token, repeatable, automatic, state, created_at, due_at, attempts, settled_at) {rows}"
    " SELECT 'ack:' || i, i || ':old' || i || '@client.example', 'acknowledgement', i, 'mail', 'support',"
    " 'old' || i || '@client.example', 'en', 'acknowledgement', '{{}}', 'ack.' || i || '@desk.example',"
    " lower(hex(randomblob(13))), 0, 1, 'sent', {at}, {at}, 1, {at} FROM n",
    "INSERT INTO view_token (token_hash, ticket_id, recipient, expires_at) {rows} SELECT hex(randomblob(32)), i,"
    " 'old' || i || '@client.example', {at} + 31536000000000 FROM n",
)


def fill(var: Path, tickets: int) -> float:
    """Make the store in `var` with so many old tickets. Returns the seconds it took."""
    began = time.perf_counter()
    var.mkdir(mode=0o700, parents=True)
    path = var / "gateway.db"
    migrate(f"sqlite:///{path}", backup_to=var / "backups")
    conn = sqlite3.connect(path, isolation_level=None)
    conn.create_function("number_for", 1, number_for, deterministic=True)
    conn.execute("PRAGMA synchronous=OFF")  # nobody has been promised anything here
    conn.execute("PRAGMA cache_size=-400000")
    newest = time.time_ns() // 1000 - AGE
    for first in range(1, tickets + 1, CHUNK):
        last = min(first + CHUNK - 1, tickets)
        conn.execute("BEGIN")
        for statement in _STATEMENTS:
            text = statement.format(rows=_ROWS, at=_AT, body=BODY)
            values = {"first": first, "last": last, "now": newest, "total": tickets}
            conn.execute(text, {name: value for name, value in values.items() if f":{name}" in text})
        conn.execute("COMMIT")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    return time.perf_counter() - began
