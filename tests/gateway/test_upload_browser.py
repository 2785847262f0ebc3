"""The upload page in a real browser, on a screen 320 wide: nothing sticks out, and the form arrives."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.patience import PATIENCE, eventually, seen
from tests.gateway.test_upload_story import running

pytestmark = [
    pytest.mark.services("chromium"), pytest.mark.timeout(600), pytest.mark.xdist_group("upload-story"),
]  # fmt: skip

Ask = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Ask]:
    """A page of a headless Chromium; yields what sends it a command (Chrome DevTools Protocol)."""
    port_file = folder / "profile" / "DevToolsActivePort"
    process = await asyncio.create_subprocess_exec(
        shutil.which("chromium") or "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        await seen(lambda: port_file.exists() and "\n" in port_file.read_text(), what="Chromium's port")
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:

            async def pages() -> list[Any]:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    return [one for one in await answer.json(content_type=None) if one["type"] == "page"]

            [page] = await eventually(pages, what="the page that Chromium begins with")
            async with session.ws_connect(page["webSocketDebuggerUrl"]) as socket:
                numbers = itertools.count(1)

                async def ask(method: str, **params: Any) -> Any:
                    number = next(numbers)
                    await socket.send_json({"id": number, "method": method, "params": params})
                    while True:
                        said = await socket.receive_json(timeout=PATIENCE)
                        if said.get("id") == number:
                            assert "error" not in said, said
                            return said["result"]

                yield ask
    finally:
        process.terminate()
        await process.wait()


async def evaluated(ask: Ask, expression: str) -> Any:
    """The value of an expression in the page."""
    return (await ask("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")


async def until(ask: Ask, expression: str) -> None:
    """Wait until it holds in the page."""
    await eventually(lambda: evaluated(ask, expression), what=expression)


async def test_a_browser_sends_files_from_a_narrow_screen(tmp_path: Path) -> None:
    picked = [tmp_path / "звіт.bin", tmp_path / "log.txt"]
    for number, path in enumerate(picked):
        path.write_bytes(bytes(range(256)) * (number + 4000))
    (tmp_path / "var").mkdir()
    async with running(tmp_path / "var") as server, browser(tmp_path) as ask:
        await ask("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True)
        await ask("Network.enable")
        await ask("Network.setExtraHTTPHeaders", headers={"Accept-Language": "uk"})
        await ask("Page.navigate", url=f"{server.url}/upload")
        await until(ask, "document.readyState == 'complete' && !!document.forms[0]")
        assert await evaluated(ask, "document.documentElement.lang") == "uk"
        assert await evaluated(ask, "document.documentElement.scrollWidth") <= 320
        trap = await evaluated(ask, "JSON.stringify(document.getElementById('website').getBoundingClientRect())")
        assert json.loads(trap)["right"] < 0
        values = {"address": "anna@client.example", "subject": "Звіт", "text": "Файл завеликий для листа."}
        for name, value in values.items():
            await evaluated(ask, f"document.getElementById('{name}').value = {json.dumps(value)}")
        root = (await ask("DOM.getDocument"))["root"]["nodeId"]
        files = (await ask("DOM.querySelector", nodeId=root, selector="#files"))["nodeId"]
        await ask("DOM.setFileInputFiles", nodeId=files, files=[str(path) for path in picked])
        await evaluated(ask, "document.forms[0].requestSubmit()")
        await until(ask, "location.search.startsWith('?got=') && document.readyState == 'complete'")
        assert await evaluated(ask, "document.documentElement.scrollWidth") <= 320
        shown = await evaluated(ask, "document.querySelector('main').innerText")
        await server.filed()
        [(number,)] = server.rows("SELECT number FROM ticket")
        assert str(number) in shown or "Номер заявки надійде поштою" in shown
        assert server.rows("SELECT requester, subject FROM ticket") == [("anna@client.example", "Звіт")]
        filed = server.rows("SELECT filename, size FROM attachment ORDER BY id")
        assert filed == [(path.name, path.stat().st_size) for path in picked]
