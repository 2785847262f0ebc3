"""The tables. Every function of `gateway.store` takes a Connection and names columns from here.

Times are stored as integer microseconds since the epoch, UTC (`Instant`): exact, ordered and
the same in SQLite and PostgreSQL. Tables that only chats and telephones need are in `schema_chats`,
those of calls in `schema_calls`, those of feeds in `schema_feeds`, those of several nodes in `schema_nodes`,
those about reaching people in `schema_people`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.store.schema_base import EPOCH, ID, Instant, id_column, metadata
from gateway.store.schema_calls import call, call_recording, call_step, erasure
from gateway.store.schema_chats import consent, dialog, identity_change, media, proof, unverified
from gateway.store.schema_feeds import feed_link, feed_write
from gateway.store.schema_nodes import blob, blob_content, lease
from gateway.store.schema_people import phone_fact, unreachable

__all__ = [
    "EPOCH", "ID", "Instant", "blob", "blob_content", "call", "call_recording", "call_step", "consent", "dialog",
    "erasure", "feed_link", "feed_write", "identity_change", "lease", "media", "metadata", "phone_fact", "proof",
    "unreachable", "unverified",
]  # fmt: skip

# -- in -----------------------------------------------------------------------------------

entry = Table(
    "entry",  # the journal: one row per accepted raw message, never deleted
    metadata,
    id_column(),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("format", String(32), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    # SHA-256 over (channel, external_id, fingerprint): the key that deduplicates, kept for ever.
    Column("dedupe", LargeBinary(32), nullable=False, unique=True),
    # The same external id came before with another fingerprint.
    Column("variant", Boolean, nullable=False, server_default=text("false")),
    Column("peer", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("blob", String(64)),  # name of the blob when the body is big; else table `raw`
    Column("facts", JSON, nullable=False),
    # pending -> done | quarantined; replay sets pending again with generation + 1
    Column("state", String(12), nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("reroute", Boolean, nullable=False, server_default=text("false")),
    Column("notify", Boolean, nullable=False, server_default=text("true")),
    Column("not_before", Instant),
    Column("failing_since", Instant),  # first failed attempt: it holds its peer back for 10 s from then
    Column("alone", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text, nullable=False, server_default=""),
    Column("outcome", JSON),  # what it became: {"kind":…, "ticket":…, "message":…, "because":[…]}
    Column("processed_at", Instant),
    Column("owner", String(64)),  # the node that is working on it, where there are several
)
Index("entry_pending", entry.c.id, sqlite_where=entry.c.state == "pending", postgresql_where=entry.c.state == "pending")
Index("entry_quarantined", entry.c.id, sqlite_where=entry.c.state == "quarantined",
      postgresql_where=entry.c.state == "quarantined")  # fmt: skip
Index("entry_external", entry.c.channel, entry.c.external_id)
Index("entry_blob_age", entry.c.accepted_at, sqlite_where=entry.c.blob.is_not(None),
      postgresql_where=entry.c.blob.is_not(None))  # fmt: skip

raw = Table(
    "raw",  # bodies up to 256 KB; dropped after journal.keep_raw
    metadata,
    Column("entry_id", ID, ForeignKey("entry.id"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

delivery = Table(
    "delivery",  # which of our addresses an entry came to
    metadata,
    Column("entry_id", ID, ForeignKey("entry.id"), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("recipient", Text, primary_key=True),
)

cursor = Table(
    "cursor",
    metadata,
    Column("channel", String(20), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

imap_seen = Table(
    "imap_seen",  # the ledger: every message of a mailbox that we know of, by the numbers of its server
    metadata,
    Column("account", String(64), primary_key=True),
    Column("folder", String(400), primary_key=True),
    Column("uidvalidity", BigInteger, primary_key=True, autoincrement=False),
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", ID, ForeignKey("entry.id")),
    # listed -> filed (committed) -> settled (moved or flagged) | kept (it stays); or old, failed, gone
    Column("state", String(12), nullable=False),
    Column("quiet", Boolean, nullable=False, server_default=text("false")),  # listed again: not acknowledged
    Column("reason", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", Instant),
    Column("at", Instant, nullable=False),
)
_OPEN = ("filed", "listed", "failed")
Index("imap_seen_open", imap_seen.c.account, imap_seen.c.folder, imap_seen.c.state,
      sqlite_where=imap_seen.c.state.in_(_OPEN), postgresql_where=imap_seen.c.state.in_(_OPEN))  # fmt: skip
Index("imap_seen_entry", imap_seen.c.entry_id)

sealed = Table(
    "sealed",  # secrets that change while the gateway runs, encrypted under var/key
    metadata,
    Column("name", String(190), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

# -- people -------------------------------------------------------------------------------

contact = Table(
    "contact",
    metadata,
    id_column(),
    Column("name", Text, nullable=False, server_default=""),
    Column("language", String(8)),  # the person's own choice; a guess never changes it
    Column("no_surveys", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
)

identity = Table(
    "identity",
    metadata,
    Column("kind", String(20), primary_key=True),  # mail, phone, telegram
    Column("value", String(320), primary_key=True),
    Column("contact_id", ID, ForeignKey("contact.id"), nullable=False),
)
Index("identity_contact", identity.c.contact_id)

# -- tickets ------------------------------------------------------------------------------

ticket = Table(
    "ticket",
    metadata,
    id_column(),
    Column("number", String(16), nullable=False, unique=True),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("entry_id", ID, ForeignKey("entry.id")),  # that opened it; NULL when staff opened it
    Column("requester_id", ID, ForeignKey("contact.id"), nullable=False),
    Column("requester", String(320), nullable=False),  # address on the channel
    Column("subject", Text, nullable=False),
    Column("language", String(8), nullable=False),
    Column("status", String(12), nullable=False),  # new open waiting resolved closed held
    Column("class", Integer, key="class_"),
    Column("proposed_class", Integer),
    Column("confidence", Float),
    Column("line", String(2), nullable=False),
    Column("proposed_line", String(2)),
    Column("onsite", Boolean, nullable=False, server_default=text("false")),
    Column("visit", JSON),  # {"wanted": [from, to] | null, "agreed": [from, to] | null, "office": …}
    Column("contract", String(64)),
    Column("assignee", String(64)),
    Column("tags", JSON, nullable=False),
    Column("result", Text),
    Column("opened_at", Instant, nullable=False),  # the source's time: where the clocks start
    Column("updated_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("reaction_due", Instant),
    Column("reaction_met_at", Instant),
    Column("resolution_due", Instant),
    Column("deadline_version", Integer, nullable=False, server_default="0"),
    Column("resolutions", Integer, nullable=False, server_default="0"),  # how many times resolved
    Column("because", JSON, nullable=False),
    Column("related", JSON),  # numbers of possibly related tickets
    Column("conversation", JSON),  # of a chat: {"id":…, "private":…, "answer_to": {…}}; where answers go
    Column("registered_by", String(64)),
)
Index("ticket_updated", ticket.c.updated_at, ticket.c.id)
Index("ticket_requester", ticket.c.requester, ticket.c.id)
Index("ticket_status", ticket.c.status, ticket.c.id)
Index("ticket_channel", ticket.c.channel, ticket.c.id)
Index("ticket_contact", ticket.c.requester_id, ticket.c.id)
Index("ticket_entry", ticket.c.entry_id, unique=True)
Index("ticket_assignee", ticket.c.assignee, ticket.c.id)
Index("ticket_contract", ticket.c.contract, ticket.c.id)
Index("ticket_line", ticket.c.line, ticket.c.id)

participant = Table(
    "participant",
    metadata,
    Column("ticket_id", ID, ForeignKey("ticket.id"), primary_key=True),
    Column("address", String(320), primary_key=True),
    Column("role", String(12), nullable=False),  # requester, cc, vendor
    Column("name", Text, nullable=False, server_default=""),
)

message = Table(
    "message",
    metadata,
    id_column(),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("entry_id", ID, ForeignKey("entry.id")),
    Column("generation", Integer, nullable=False, server_default="0"),  # of the entry: one revision each
    Column("current", Boolean, nullable=False, server_default=text("true")),  # the newest revision
    Column("outbox_id", ID),  # for what we sent
    Column("direction", String(4), nullable=False),  # in, out, note
    Column("kind", String(16), nullable=False),  # message, auto_reply, bounce, reply, question, note, unreadable
    Column("author", Text, nullable=False),  # address, or "agent:<key>", or "gateway"
    Column("author_name", Text, nullable=False, server_default=""),
    Column("verified", Boolean, nullable=False, server_default=text("true")),  # False: visible to staff only
    Column("subject", Text, nullable=False, server_default=""),
    Column("text", Text, nullable=False),
    Column("visible_text", Text, nullable=False),
    Column("html", Text, nullable=False, server_default=""),
    Column("language", String(8), nullable=False, server_default=""),
    Column("sha256", String(64), nullable=False, server_default=""),  # of the raw body it was read from
    Column("oddities", JSON),
    Column("at", Instant, nullable=False),
    Column("dated", Instant),  # by its author's clock, as the Date of a mail says
    Column("external_key", String(255)),  # the channel's own name of it; revisions by edits have the same
    Column("group_key", String(255)),  # of an album: its parts are one message
    Column("edited_at", Instant),
    UniqueConstraint("entry_id", "generation", name="message_revision"),
)
Index("message_external", message.c.external_key)
Index("message_group", message.c.group_key)
Index("message_ticket", message.c.ticket_id, message.c.id)

attachment = Table(
    "attachment",
    metadata,
    id_column(),
    Column("message_id", ID, ForeignKey("message.id"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("inline", Boolean, nullable=False, server_default=text("false")),
    Column("content_id", Text, nullable=False, server_default=""),
    Column("content", LargeBinary),  # small ones; else the blob of this sha256
    Column("blob", String(64)),
    Column("state", String(12), nullable=False, server_default="here"),  # here, pending, failed
    Column("transcript", Text),  # of a voice message, once there is one
)
Index("attachment_message", attachment.c.message_id)
Index("attachment_blob", attachment.c.blob)
Index("entry_blob", entry.c.blob)

thread_key = Table(
    "thread_key",
    metadata,
    Column("kind", String(16), primary_key=True),  # message_id, reply_token, external
    Column("value", String(255), primary_key=True),  # longer ones: "sha256:" + hex
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("issued", Boolean, nullable=False),  # we chose it; else we saw it
    Column("recipient", String(320)),  # issued to whom (reply tokens)
)
Index("thread_key_ticket", thread_key.c.ticket_id)

conversation = Table(
    "conversation",  # locked before find-or-open (rule 7)
    metadata,
    Column("channel", String(20), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("peer", String(320), primary_key=True),
    Column("ticket_id", ID),  # the last one
    Column("last_at", Instant),
    Column("last_digest", String(64), nullable=False, server_default=""),  # joins equal mails without Message-ID
)

event = Table(
    "event",  # the history of a ticket: deadlines are computed from it and nothing else
    metadata,
    id_column(),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),  # "agent:<key>", "requester", "gateway", "rule:<id>"
    Column("kind", String(24), nullable=False),
    Column("data", JSON, nullable=False),
    Column("key", String(128), unique=True),  # what makes the effect happen once (rule 6); NULL: none needed
)
Index("event_ticket", event.c.ticket_id, event.c.id)

# -- out ----------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    id_column(),
    Column("key", String(190), nullable=False, unique=True),  # idempotency: "ack:<entry>", "reply:<event>" …
    Column("lane", String(400), nullable=False),  # order is kept within; "" = none (rule 13)
    Column("kind", String(20), nullable=False),  # of the notice
    Column("ticket_id", ID, ForeignKey("ticket.id")),
    Column("channel", String(20), nullable=False),
    Column("account", String(64), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("recipient_name", Text, nullable=False, server_default=""),
    Column("language", String(8), nullable=False),
    Column("template", String(40), nullable=False),
    Column("variables", JSON, nullable=False),
    Column("message_id", String(255), unique=True),  # chosen before sending (rule 11)
    Column("reply_token", String(64), unique=True),
    Column("repeatable", Boolean, nullable=False),  # after a crash: repeat (a person's reply) or show `unknown`
    Column("automatic", Boolean, nullable=False),
    Column("replaces", String(190)),  # a waiting row with the same value is replaced by this one
    # waiting sending sent captured suppressed refused unreachable unknown dead replaced
    Column("state", String(12), nullable=False, server_default="waiting"),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("owner", String(64)),
    Column("sending_at", Instant),
    Column("first_sending_at", Instant),  # the first try: the age of a dead letter counts from here
    Column("settled_at", Instant),
    Column("external_ids", JSON),
    Column("detail", Text, nullable=False, server_default=""),
    Column("fault", String(12), nullable=False, server_default=""),
    # Chats: where beside the recipient's address; send, edit a message of ours or answer a button; which part.
    Column("destination", JSON),
    Column("act", String(8), nullable=False, server_default="send"),
    Column("target", String(255), nullable=False, server_default=""),
    Column("part", Integer, nullable=False, server_default="0"),
)
Index("outbox_due", outbox.c.channel, outbox.c.account, outbox.c.due_at, outbox.c.id,
      sqlite_where=outbox.c.state == "waiting", postgresql_where=outbox.c.state == "waiting")  # fmt: skip
Index("outbox_lane", outbox.c.lane, outbox.c.id, sqlite_where=outbox.c.state.in_(["waiting", "sending"]),
      postgresql_where=outbox.c.state.in_(["waiting", "sending"]))  # fmt: skip
Index("outbox_sending", outbox.c.id, sqlite_where=outbox.c.state == "sending",
      postgresql_where=outbox.c.state == "sending")  # fmt: skip
Index("outbox_ticket", outbox.c.ticket_id, outbox.c.id)
Index("outbox_recipient", outbox.c.recipient, outbox.c.created_at)
Index("outbox_dead", outbox.c.id, sqlite_where=outbox.c.state == "dead", postgresql_where=outbox.c.state == "dead")

timer = Table(
    "timer",  # says "check", not "do" (rule 14)
    metadata,
    id_column(),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    # survey, survey_reminder, question_reminder, warning:reaction, breach:reaction, …:resolution, close
    Column("kind", String(24), nullable=False),
    Column("version", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("data", JSON, nullable=False),
    Column("fired_at", Instant),
    Column("outcome", Text, nullable=False, server_default=""),
    UniqueConstraint("ticket_id", "kind", "version", name="timer_once"),
)
Index("timer_due", timer.c.due_at, sqlite_where=timer.c.fired_at.is_(None), postgresql_where=timer.c.fired_at.is_(None))

survey = Table(
    "survey",
    metadata,
    id_column(),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("contact_id", ID, ForeignKey("contact.id"), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("resolution", Integer, nullable=False),  # which time the ticket was resolved
    Column("nonce", String(32), nullable=False),  # the token is derived from it and the key file
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256; the token itself is nowhere
    Column("channel", String(20), nullable=False),
    Column("language", String(8), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("closed_at", Instant),
    UniqueConstraint("ticket_id", "contact_id", "resolution", name="survey_once"),
)
Index("survey_contact", survey.c.contact_id, survey.c.asked_at)
Index("survey_recipient", survey.c.recipient, survey.c.asked_at)

rating = Table(
    "rating",  # one row per vote: the last one counts, the others are its history
    metadata,
    id_column(),
    Column("survey_id", ID, ForeignKey("survey.id"), nullable=False),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("score", Integer, nullable=False),
    Column("comment", Text, nullable=False, server_default=""),
    Column("channel", String(20), nullable=False),
    Column("at", Instant, nullable=False),
    Column("current", Boolean, nullable=False, server_default=text("true")),
    Column("key", String(128), unique=True),
)
Index("rating_ticket", rating.c.ticket_id, rating.c.id)
Index("rating_survey", rating.c.survey_id, rating.c.id)

view_token = Table(
    "view_token",  # `/t/{token}`: a requester's view of a ticket
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("ticket_id", ID, ForeignKey("ticket.id"), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("expires_at", Instant, nullable=False),
)

incident = Table(
    "incident",  # something is broken that many people will write about
    metadata,
    id_column(),
    Column("texts", JSON, nullable=False),  # language -> what it is, as requesters read it
    Column("contracts", JSON, nullable=False),  # [] = all
    Column("classes", JSON, nullable=False),  # with `words`: any of either; both [] = every ticket of the contracts
    Column("words", JSON, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", Text),
    Column("outcome", JSON, nullable=False),  # language -> what was said when it was over
)
Index("incident_open", incident.c.id, sqlite_where=incident.c.closed_at.is_(None),
      postgresql_where=incident.c.closed_at.is_(None))  # fmt: skip

incident_ticket = Table(
    "incident_ticket",
    metadata,
    Column("ticket_id", ID, ForeignKey("ticket.id"), primary_key=True),  # at most one incident each
    Column("incident_id", ID, ForeignKey("incident.id"), nullable=False),
    Column("silent", String(24), nullable=False, server_default=""),  # why nothing automatic was said at opening
    Column("at", Instant, nullable=False),
)
Index("incident_ticket_incident", incident_ticket.c.incident_id, incident_ticket.c.ticket_id)

# -- access and bookkeeping ---------------------------------------------------------------

token = Table(
    "token",  # of the API
    metadata,
    id_column(),
    Column("prefix", String(16), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("agent", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),  # read, reply, admin
    Column("contracts", JSON),  # None: all
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("used_at", Instant),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("token_id", ID, primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
Index("idempotency_at", idempotency.c.at)

counter = Table(
    "counter",  # caps of automatic mail (rule 9): events per bucket
    metadata,
    Column("name", String(400), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("count", Integer, nullable=False),
)

alert = Table(
    "alert",  # trouble that operators know of; the row goes when it is over
    metadata,
    Column("name", String(160), primary_key=True),
    Column("raised_at", Instant, nullable=False),
    Column("told_at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
)

hold = Table(
    "hold",  # while there is a row, no notice is claimed: after a restore, or by an operator's hand
    metadata,
    Column("name", String(32), primary_key=True),
    Column("since", Instant, nullable=False),
    Column("why", Text, nullable=False),
)
