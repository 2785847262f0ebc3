"""Files of messages: listed by the API, and given out by it as it does, by a redirect to the host where they lie.

https://www.twilio.com/docs/messaging/api/media-resource
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from gateway.demo.twilio_api.media import MediaHost
from gateway.demo.twilio_api.network import Network

BASE = "/2010-04-01/Accounts"


@dataclass(slots=True)
class Attached:
    """Files of one account's messages; `routes` are for `TwilioApi(more=…)`."""

    network: Network
    host: MediaHost
    """Where they lie."""
    failing: list[int] = field(default_factory=list)
    """Statuses of the next lists."""
    elsewhere: set[str] = field(default_factory=set)
    """SIDs whose files are listed with whole addresses, as another provider may do it."""
    listed: list[str] = field(default_factory=list)
    """SIDs whose files were asked for."""
    _count: int = 0

    def files(self, api_url: str, sid: str, *files: tuple[bytes, str], **about: object) -> dict[str, str]:
        """Parameters of the message with this SID that has these files (content, type); `about` as in `Stored`."""
        said = {"NumMedia": str(len(files))}
        for number, (content, kind) in enumerate(files):
            self._count += 1
            name = f"ME{self._count:032x}"
            self.host.put(f"/{name}?signature=abc", content, content_type=kind, **about)
            said[f"MediaUrl{number}"] = f"{api_url}{BASE}/{self.network.account_sid}/Messages/{sid}/Media/{name}"
            said[f"MediaContentType{number}"] = kind
        return said

    def routes(self) -> list[web.RouteDef]:
        """The list of a message's files, and each of them."""
        path = BASE + "/{account}/Messages/{sid}/Media"
        return [web.get(path + ".json", self._list), web.get(path + "/{file}", self._file)]

    async def _list(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        self.listed.append(sid)
        if self.failing:
            return web.Response(status=self.failing.pop(0), text="<html>no", content_type="text/html")
        if not self._known(request):
            return web.json_response({"code": 20003, "status": 401}, status=401)
        said = next((one for one in self.network.kept if one["MessageSid"] == sid), None)
        if said is None:
            return web.json_response({"code": 20404, "status": 404}, status=404)
        found = [
            {
                "sid": urlsplit(said[f"MediaUrl{number}"]).path.rpartition("/")[2], "parent_sid": sid,
                "content_type": said[f"MediaContentType{number}"], "account_sid": self.network.account_sid,
                "uri": said[f"MediaUrl{number}"] if sid in self.elsewhere
                else urlsplit(said[f"MediaUrl{number}"]).path + ".json",
            }
            for number in range(int(said["NumMedia"]))
        ]  # fmt: skip
        return web.json_response({"media_list": found, "next_page_uri": None, "page": 0, "page_size": 50})

    async def _file(self, request: web.Request) -> web.Response:
        if not self._known(request):
            return web.Response(status=401)
        lies_at = f"{self.host.url}/{request.match_info['file']}?signature=abc"
        return web.Response(status=307, headers={"Location": lies_at})

    def _known(self, request: web.Request) -> bool:
        wanted = base64.b64encode(f"{self.network.account_sid}:{self.network.token}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {wanted}"
