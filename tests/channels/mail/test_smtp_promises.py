"""What the SMTP port promises when clients vanish, ask for too much, or when we stop."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from channels.contract import Unavailable
from normalizer.message import InlineBody, SpooledBody
from tests.channels.mail.support import PATIENCE, letter, running, stuffed, until

BIG = b"b" * 76 + b"\r\n"


async def test_250_is_said_only_after_the_intake_returned(tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        port.journal.gate = asyncio.Event()
        await client.begin()
        await client.send(stuffed(letter(1)))
        await asyncio.wait_for(port.journal.reached.wait(), PATIENCE)
        answer = asyncio.create_task(client.reply())
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        port.journal.gate.set()
        assert (await answer).startswith("250 ")


async def test_a_commit_goes_on_when_the_client_vanishes(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await port.connect()
        await client.hello()
        port.journal.gate = asyncio.Event()
        await client.begin()
        await client.send(stuffed(letter(1, BIG * 6000)))
        await asyncio.wait_for(port.journal.reached.wait(), PATIENCE)
        client.drop()
        await until(lambda: not port.listener._open)
        port.journal.gate.set()
        await until(lambda: port.journal.raws)
        assert port.journal.contents == [letter(1, BIG * 6000)]
        await until(lambda: not port.leftovers())
        # The sender has seen no 250 and repeats: one entry.
        async with port.client() as again:
            assert (await again.mail(letter(1, BIG * 6000))).startswith("250 ")
        assert len(port.journal.raws) == 1


ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<support@desk.example>\r\n"
STAGES = {
    "greeting": b"",
    "helo": b"EHLO x\r\n",
    "half a command": b"EHLO x\r\nMAIL FRO",
    "mail": b"EHLO x\r\nMAIL FROM:<a@client.example>\r\n",
    "rcpt": ENVELOPE,
    "data": ENVELOPE + b"DATA\r\n",
    "small body": ENVELOPE + b"DATA\r\nSubject: a\r\n\r\nb\r\n",
    "spooled body": ENVELOPE + b"DATA\r\n" + BIG * 9000,
    "half a terminator": ENVELOPE + b"DATA\r\nx\r\n.\r",
}


@pytest.mark.parametrize("polite", [True, False], ids=["FIN", "RST"])
@pytest.mark.parametrize("stage", STAGES)
async def test_nothing_is_half_accepted_when_a_client_drops(stage: str, polite: bool, tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await port.connect()
        await client.reply()
        await client.send(STAGES[stage])
        if STAGES[stage]:
            await client.reply()
        if polite:
            client.writer.write_eof()
            await asyncio.wait_for(client.reader.read(), PATIENCE)
            await client.close()
        else:
            client.drop()
        await until(lambda: not port.listener._open)
        await until(lambda: not port.leftovers())  # its handler hears of the end in a later turn
        assert port.journal.calls == 0


async def test_a_client_that_hangs_up_right_behind_the_dot_is_still_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await port.connect()
        await client.reply()
        port.journal.gate = asyncio.Event()
        await client.send(STAGES["data"] + stuffed(letter(1)))
        await asyncio.wait_for(port.journal.reached.wait(), PATIENCE)
        client.writer.write_eof()
        (connection,) = port.listener._open
        await until(connection._reader.at_eof)
        port.journal.gate.set()
        heard = await asyncio.wait_for(client.reader.read(), PATIENCE)
        assert heard.splitlines()[-2 if heard.endswith(b"Closing\r\n") else -1].startswith(b"250 2.0.0 OK, taken in")
        assert port.journal.contents == [letter(1)]
        await client.close()


async def test_nothing_is_taken_in_behind_our_goodbye(tmp_path: Path) -> None:
    """Its sender has no answer, and sends it again."""
    async with running(tmp_path) as port:
        client = await port.connect()
        await client.send(
            b"HELO x\r\n" + b"WHAT\r\n" * 5 + STAGES["data"].replace(b"EHLO x\r\n", b"") + stuffed(letter(1))
        )
        heard = await asyncio.wait_for(client.reader.read(), PATIENCE)
        assert heard.splitlines()[-1] == b"502 5.5.1 Too many unrecognized commands, goodbye."
        await until(lambda: not port.listener._open)
        assert port.journal.calls == 0
        await client.close()


async def test_stopping_answers_what_is_being_committed_and_closes_the_rest(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        port.journal.gate = asyncio.Event()
        idle, receiving, busy = await port.connect(), await port.connect(), await port.connect()
        for client in (idle, receiving, busy):
            await client.hello()
        await receiving.begin()
        await receiving.send(BIG * 5000)
        await busy.begin()
        await busy.send(stuffed(letter(1)))
        await asyncio.wait_for(port.journal.reached.wait(), PATIENCE)
        stopping = asyncio.create_task(port.listener.stop())
        assert (await idle.reply()).startswith("421 4.3.2")
        assert (await receiving.reply()).startswith("421 4.3.2")
        assert not stopping.done()
        port.journal.gate.set()
        assert (await busy.reply()).startswith("250 ")
        assert (await busy.reply()).startswith("421 4.3.2")
        await asyncio.wait_for(stopping, PATIENCE)
        with pytest.raises(OSError):
            await port.connect()
        for client in (idle, receiving, busy):
            await client.close()
        assert len(port.journal.raws) == 1
        await until(lambda: not port.leftovers())


async def test_connections_are_counted_in_all_and_for_each_client(tmp_path: Path) -> None:
    async with running(tmp_path, connections=3, connections_per_client=2) as port:
        first, second = await port.connect(), await port.connect()
        await first.hello()
        await second.hello()
        third = await port.connect()
        assert (await third.reply()).startswith("421 4.7.0 Too many connections from your address")
        assert await third.reply() == ""
        await first.close()
        await until(lambda: len(port.listener._open) == 1)
        async with port.client() as fourth:
            assert (await fourth.say("NOOP")).startswith("250")
        for client in (second, third):
            await client.close()
    async with running(tmp_path / "all", connections=1) as port, port.client():
        late = await port.connect()
        assert (await late.reply()).startswith("421 4.7.0 Too many connections, ")
        await late.close()


async def test_a_message_over_the_limit_is_refused_with_the_way_that_is_open(tmp_path: Path) -> None:
    async with running(tmp_path, message_size="1MB") as port, port.client() as client:
        refusal = await client.mail(BIG * 15_000)
        assert refusal.startswith("552 5.3.4 ")
        assert "https://help.desk.example/" in refusal
        assert not port.leftovers()
        assert port.journal.calls == 0
        assert (await client.mail(letter(1))).startswith("250 ")


async def test_a_client_that_goes_on_far_beyond_the_limit_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path, message_size="1MB") as port:
        client = await port.connect()
        await client.hello()
        await client.begin()

        async def endless() -> None:
            for _ in range(2000):
                await client.send(BIG * 1000)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(endless(), PATIENCE)
        assert port.journal.calls == 0
        client.drop()


async def test_a_line_over_the_limit_is_refused_and_the_connection_lives(tmp_path: Path) -> None:
    async with running(tmp_path, line_length="64KB") as port, port.client() as client:
        assert (await client.mail(b"x" * 65_537 + b"\r\n")).startswith("500 5.6.0")
        assert (await client.mail(letter(1, b"x" * 65_536 + b"\r\n"))).startswith("250 ")


async def test_a_slow_message_has_its_time_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, data_time="1s") as port:
        client = await port.connect()
        await client.hello()
        await client.begin()

        async def drip() -> None:
            while True:
                await client.send(b"drip\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await asyncio.wait_for(client.reply(), PATIENCE)).startswith("421 4.4.2")
        dripping.cancel()
        await asyncio.wait({dripping})
        client.drop()
        assert port.journal.calls == 0


async def test_a_commit_that_takes_too_long_is_answered_451_and_its_repeat_is_known(tmp_path: Path) -> None:
    async with running(tmp_path, commit_time="1s") as port:
        port.journal.gate = asyncio.Event()
        async with port.client() as client:
            assert (await client.mail(letter(1))).startswith("451 4.3.0")
            assert await client.reply() == ""
        port.journal.gate.set()
        await until(lambda: port.journal.raws)
        async with port.client() as again:
            assert (await again.mail(letter(1))).startswith("250 ")
        assert len(port.journal.raws) == 1


async def test_stopping_waits_for_the_commit_of_a_client_that_vanished(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        port.journal.gate = asyncio.Event()
        client = await port.connect()
        await client.hello()
        await client.begin()
        await client.send(stuffed(letter(1)))
        await asyncio.wait_for(port.journal.reached.wait(), PATIENCE)
        client.drop()
        await until(lambda: not port.listener._open)
        stopping = asyncio.create_task(port.listener.stop())
        done, _ = await asyncio.wait({stopping}, timeout=0.1)
        assert not done
        port.journal.gate.set()
        await asyncio.wait_for(stopping, PATIENCE)
        assert port.journal.contents == [letter(1)]


@pytest.mark.parametrize("size", [0, 1000, 5000])
async def test_a_body_is_spooled_only_when_it_is_big(size: int, tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        content = letter(1, BIG * size)
        assert (await client.mail(content)).startswith("250 ")
        body = port.journal.raws[0].body
        assert isinstance(body, SpooledBody if len(content) > 256 * 1024 else InlineBody)
        assert body.size == len(content)
        assert body.sha256 == hashlib.sha256(content).hexdigest()


async def test_a_failed_commit_leaves_no_spool_file(tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        port.journal.failure = Unavailable("locked")
        assert (await client.mail(letter(1, BIG * 5000))).startswith("451 4.3.0")
        assert not port.leftovers()


async def test_what_a_crash_left_in_the_spool_is_removed_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "smtp-dead").write_bytes(b"half a message")
    (tmp_path / "spool" / "not-ours").write_bytes(b"")
    async with running(tmp_path) as port:
        assert not port.leftovers()
        assert (port.spool / "not-ours").exists()


async def test_one_mail_to_two_accounts_is_one_entry_with_two_deliveries(tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        await client.say("MAIL FROM:<>")
        for recipient in ("Sales@desk.example", "support+note@desk.example", "sales@desk.example"):
            await client.say(f"RCPT TO:<{recipient}>")
        await client.say("DATA")
        await client.send(stuffed(letter(7)))
        assert (await client.reply()).startswith("250 ")
        (raw,) = port.journal.raws
        assert (raw.account, raw.external_id, raw.peer) == ("sales", "7@client.example", "anna@client.example")
        assert raw.deliveries == (
            ("sales", "Sales@desk.example"),
            ("support", "support+note@desk.example"),
            ("sales", "sales@desk.example"),
        )
        assert raw.facts == {
            "transport": "smtp",
            "client_ip": "127.0.0.1",
            "helo": "client.example",
            "mail_from": "",
            "rcpt_to": ["Sales@desk.example", "support+note@desk.example", "sales@desk.example"],
            "tls": False,
        }


BAD = {
    "a 1 MB header": b"Subject: " + b"h" * 1_000_000 + b"\r\nMessage-ID: <big@x.example>\r\n\r\nbody\r\n",
    "NUL": b"Subject: a\x00b\r\nMessage-ID: <nul\x00@x.example>\r\n\r\n\x00\x00\r\n",
    "no From, no Message-ID": b"Subject: who\r\n\r\nbody\r\n",
    "an empty body": b"Subject: nothing\r\n\r\n",
    "nothing at all": b"",
    "no header": b"just text, no colon\r\n",
    "raw 8-bit": "Subject: Не работает\r\n\r\nпривет\r\n".encode("cp1251"),
    "10,000 nested parts": b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\n' * 10_000,
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n====!!!!\r\n",
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_content_is_taken_in_byte_for_byte(name: str, tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        assert (await client.mail(BAD[name])).startswith("250 ")
        assert port.journal.contents == [BAD[name]]
        assert "\x00" not in port.journal.raws[0].external_id


async def test_one_message_id_with_two_contents_is_two_entries(tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        for body in (b"first\r\n", b"second\r\n", b"first\r\n"):
            assert (await client.mail(letter(1, body))).startswith("250 ")
        assert port.journal.contents == [letter(1, b"first\r\n"), letter(1, b"second\r\n")]


async def test_two_equal_mails_without_a_message_id_are_both_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as port, port.client() as client:
        for _ in range(2):
            assert (await client.mail(b"Subject: a\r\n\r\nb\r\n")).startswith("250 ")
        assert len({raw.external_id for raw in port.journal.raws}) == 2
        assert len({raw.fingerprint for raw in port.journal.raws}) == 1


async def test_fifty_clients_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as port:

        async def one(number: int) -> None:
            async with port.client() as client:
                for part in range(4):
                    assert (await client.mail(letter(f"{number}-{part}", b"x\r\n" * number))).startswith("250 ")

        await asyncio.gather(*(one(number) for number in range(50)))
        assert len(port.journal.raws) == 200
