"""SIPp as a caller: it signals by a scenario made here, presses keys and speaks; what it would hear comes to a socket.

SIPp is a SIP stack of its own, https://sipp.readthedocs.io/en/v3.6.1/.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.services.ports import free_port
from tests.services.root import as_root

PATIENCE = 120.0
_INVITE = """<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: {sender};tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
{headers}Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

{sdp}]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
"""
_SDP = """v=0
o=user1 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio {ear} RTP/AVP 8 96
a=rtpmap:8 PCMA/8000
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-15
"""
_ACK = """<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: {sender};tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
"""
_OK = """<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
{more}]]></send>
"""
_EMPTY = "Content-Length: 0\n\n"
_REQUEST = """<send retrans="500"><![CDATA[
{method} [next_url] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: {sender};tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: {number} {method}
Max-Forwards: 70
{more}]]></send>
"""
_INFO = "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={key}\nDuration=160\n"
_NOTIFY = (
    "Event: refer\nSubscription-State: terminated\nContent-Type: message/sipfrag\nContent-Length: [len]\n\n{line}\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A key: by RTP (RFC 4733), or by an INFO of SIP."""

    key: str
    wait: float = 0.3
    info: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """A file of A-law samples, for so many seconds."""

    file: Path
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing, for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """The far end asks us to call somebody else, and that comes to this: "SIP/2.0 200 OK"."""

    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """We end the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The far end ends the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The far end does not take the call, with this status."""

    status: int


Doing: TypeAlias = Press | Speak | Wait | Transferred | HangUp | Ends | Refused


def scenario(doings: Sequence[Doing], *, ear: int, sender: str, headers: Sequence[str] = ()) -> str:
    """The call as SIPp wants it."""
    sdp = _SDP.format(ear=ear)
    lines = [_INVITE.format(sender=sender, sdp=sdp, headers="".join(f"{each}\n" for each in headers))]
    if not isinstance(doings[0], Refused):
        lines += ['<recv response="200" rrs="true"/>', _ACK.format(sender=sender)]
        # The stack asks once more which codec it is to be, after each answer of its own.
        described = f"Contact: <sip:caller@[local_ip]:[local_port]>\nContent-Type: application/sdp\n{_LENGTH}{sdp}"
        lines += ['<recv request="INVITE"/>', _OK.format(more=described), '<recv request="ACK"/>']
    for number, doing in enumerate(doings, 2):
        lines.append(_done(doing, number, sender))
    text = "\n".join(lines)
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="caller">\n{text}\n</scenario>\n'


_LENGTH = "Content-Length: [len]\n\n"


def _done(doing: Doing, number: int, sender: str) -> str:
    match doing:
        case Press(info=True):
            sent = _REQUEST.format(method="INFO", sender=sender, number=number, more=_INFO.format(key=doing.key))
            return f'{sent}<recv response="200"/>{_pause(doing.wait)}'
        case Press():
            return f'<nop><action><exec play_dtmf="{doing.key}"/></action></nop>{_pause(doing.wait)}'
        case Speak():
            played = f'<nop><action><exec rtp_stream="{doing.file},1,8"/></action></nop>'
            return f"{played}{_pause(doing.seconds)}"
        case Wait():
            return _pause(doing.seconds)
        case Transferred():
            taken = _OK.format(more=_EMPTY).replace("200 OK", "202 Accepted")
            told = _REQUEST.format(method="NOTIFY", sender=sender, number=number, more=_NOTIFY.format(line=doing.line))
            return f'<recv request="REFER"/>{taken}{told}<recv response="200"/>'
        case HangUp():
            bye = _REQUEST.format(method="BYE", sender=sender, number=number, more=_EMPTY)
            return f'{bye}<recv response="200"/>'
        case Ends():
            return f'<recv request="BYE"/>{_OK.format(more=_EMPTY)}'
        case Refused():
            return f'<recv response="{doing.status}"/>{_ACK.format(sender=sender)}'


def _pause(seconds: float) -> str:
    return f'<pause milliseconds="{int(seconds * 1000)}"/>' if seconds else ""


@dataclass
class Ear(asyncio.DatagramProtocol):
    """Where the sound of a call comes to: A-law (payload type 8) in RTP (RFC 3550 section 5.1), in order of arrival."""

    heard: bytearray = field(default_factory=bytearray)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) > 12 and data[1] & 0x7F == 8:
            self.heard += data[12:]

    def position(self, pcm: bytes, start: int = 0) -> int:
        """Where these samples stand in what was heard; -1: nowhere. Their quiet beginning and end may be lost."""
        sound = alaw(pcm)
        return self.heard.find(sound[len(sound) // 4 : len(sound) * 3 // 4], start)


@asynccontextmanager
async def ear() -> AsyncIterator[tuple[Ear, int]]:
    """A listener and its port."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def call(
    to: str, doings: Sequence[Doing], folder: Path, *, sender: str, port: int, headers: Sequence[str] = (),
    source: str = "127.0.0.1", service: str = "101",
) -> None:  # fmt: skip
    """Make one call to "host:port" and live through it. AssertionError with SIPp's words when it goes otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scenario.xml"
    path.write_text(scenario(doings, ear=port, sender=sender, headers=headers), encoding="utf-8")
    command = (
        "sipp", to, "-sf", str(path), "-i", source, "-p", str(free_port(source)), "-m", "1", "-nostdin", "-s", service,
        "-timeout", str(int(PATIENCE)), "-timeout_error", "-mp", str(free_port(source)),
        "-trace_err", "-error_file", str(folder / "errors.log"),
    )  # fmt: skip
    tones = any(isinstance(doing, Press) and not doing.info for doing in doings)
    before = (as_root() or ()) if tones else ()  # tones go out through a raw socket
    process = await asyncio.create_subprocess_exec(
        *before, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.terminate()  # a sudo in front passes this on
            await process.wait()
    errors = folder / "errors.log"
    why = errors.read_text(errors="replace") if errors.exists() else ""
    assert process.returncode == 0, f"{why}\n{said.decode(errors='replace')[-3000:]}"


def tone(path: Path, seconds: float, hertz: float = 440.0) -> Path:
    """A file of A-law samples that counts as speech."""
    count = int(8000 * seconds)
    samples = [int(8000 * math.sin(2 * math.pi * hertz * at / 8000)) for at in range(count)]
    path.write_bytes(bytes(_alaw(sample) for sample in samples))
    return path


def alaw(pcm: bytes) -> bytes:
    """Samples of 16 bits as A-law (ITU-T G.711 table 1)."""
    return bytes(_alaw(sample) for sample in memoryview(pcm).cast("h"))


def _alaw(sample: int) -> int:
    mask = 0xD5 if sample >= 0 else 0x55
    size = (sample if sample >= 0 else -sample - 1) >> 3
    size = min(size, 4095)
    segment = max(size.bit_length() - 5, 0)
    bits = (size >> 1 if segment < 2 else size >> segment) & 0x0F
    return (segment << 4 | bits) ^ mask
