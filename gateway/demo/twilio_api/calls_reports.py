"""What is told about a call beside its documents: recordings, transcripts and the end; at whatever moment, or never."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

from gateway.demo.twilio_api.calls_recordings import Recording
from gateway.demo.twilio_api.calls_web import CallWeb
from gateway.demo.twilio_api.signing import Fields

When: TypeAlias = Literal["before", "after", "end", "held", "never"]
"""before, after: of the request for the verb's action. end: when the call is over. held: by `Later.settle` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How one kind of news is told."""

    when: When = "after"
    twice: bool = False
    """Two times, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the news of a call is told."""

    recorded: Told = Told()
    transcribed: Told = Told(when="end")
    ended: Told = Told(when="end")
    transcript: str | None = "The server is down"
    """Of every recording; None: it could not be made out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One request that tells something."""

    url: str
    fields: Fields
    method: str = "POST"
    told: Told = Told()


@dataclass(slots=True)
class Later:
    """News that waits for its moment."""

    web: CallWeb
    waiting: list[News] = field(default_factory=list)

    def add(self, news: News) -> None:
        """Let it wait."""
        self.waiting.append(news)

    async def settle(self, *moments: When) -> None:
        """Tell what waits for one of these moments, in its order; what is never told is gone then, too."""
        due = [one for one in self.waiting if one.told.when in moments]
        self.waiting = [one for one in self.waiting if one not in due and one.told.when != "never"]
        for one in due:
            copies = [self.web.tell(one.url, one.fields, one.method) for _ in range(2 if one.told.twice else 1)]
            await asyncio.gather(*copies)


@dataclass(slots=True, kw_only=True)
class RecordingNews:
    """What a Record asked to be told of."""

    verb: Element
    base: str
    """Address of its document."""
    standard: dict[str, str]
    """Fields of every request of the call."""
    later: Later
    manner: Manner
    sid: str
    """Of the recording, whether it comes to be or not."""
    url: str

    def begun(self) -> None:
        """It listens."""
        self._status("in-progress", {})

    def absent(self) -> None:
        """Nothing was said."""
        self._status("absent", {"RecordingDuration": "-1"})

    def completed(self, made: Recording, transcript_sid: str) -> None:
        """It is there, and goes to be written down where that was asked for."""
        started = made.created.strftime(RFC_2822)
        self._status("completed", {"RecordingDuration": str(made.seconds), "RecordingStartTime": started})
        callback = self.verb.get("transcribeCallback", "")
        if self.verb.get("transcribe") != "true" or not callback:
            return
        text = self.manner.transcript
        wanted = ("CallSid", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "Caller", "Called")
        fields = {
            **{name: self.standard[name] for name in wanted}, **self._about(), "TranscriptionSid": transcript_sid,
            "TranscriptionText": text or "", "TranscriptionStatus": "failed" if text is None else "completed",
            "TranscriptionType": "fast", "TranscriptionUrl": f"{self.url}/Transcriptions/{transcript_sid}",
        }  # fmt: skip
        url = urljoin(self.base, callback)
        self.later.add(News(url=url, fields=tuple(fields.items()), told=self.manner.transcribed))

    def _about(self) -> dict[str, str]:
        return {"RecordingSid": self.sid, "RecordingUrl": self.url}

    def _status(self, status: str, more: dict[str, str]) -> None:
        callback = self.verb.get("recordingStatusCallback", "")
        if not callback or status not in self.verb.get("recordingStatusCallbackEvent", "completed").split():
            return
        fields = {
            "AccountSid": self.standard["AccountSid"], "CallSid": self.standard["CallSid"], **self._about(),
            **more,
            "RecordingStatus": status, "RecordingChannels": "1", "RecordingSource": "RecordVerb",
            "RecordingTrack": "both", "ErrorCode": "0",
        }  # fmt: skip
        method = self.verb.get("recordingStatusCallbackMethod", "POST")
        url = urljoin(self.base, callback)
        self.later.add(News(url=url, fields=tuple(fields.items()), method=method, told=self.manner.recorded))


RFC_2822 = "%a, %d %b %Y %H:%M:%S %z"
