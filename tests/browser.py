"""A headless Chromium that says what happens in a page (Chrome DevTools Protocol)."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import pytest

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0"
)


def visit(path, expression):
    """Open a file, and return the value of a JavaScript expression there (a promise's too), and what went wrong.

    That is: messages of the console, errors of the browser's log, exceptions, and requests for anything but the file.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    pytest.importorskip("tornado", reason="tornado, which comes with ipykernel, speaks to Chromium")
    profile = tempfile.mkdtemp()
    command = [chromium, *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(asyncio.wait_for(_visit(Path(profile), Path(path).as_uri(), expression), 60))
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(profile, ignore_errors=True)


async def _visit(profile, url, expression):
    from tornado.websocket import websocket_connect

    told = profile / "DevToolsActivePort"
    while not (told.exists() and told.read_text()):
        await asyncio.sleep(0.05)
    port = told.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        (page,) = [one for one in json.load(answer) if one["type"] == "page"]
    socket = await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=100_000_000)
    events, number = [], 0

    async def call(method, **params):
        nonlocal number
        number += 1
        await socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(await socket.read_message())
            if message.get("id") == number:
                return message["result"]
            events.append(message)

    for domain in ("Runtime", "Log", "Network", "Page"):
        await call(f"{domain}.enable")
    await call("Page.navigate", url=url)
    while not any(one["method"] == "Page.loadEventFired" for one in events):
        events.append(json.loads(await socket.read_message()))
    result = await call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
    socket.close()
    while await socket.read_message() is not None:  # until the browser has closed it, too
        pass
    wrong = [
        one
        for one in events
        if one["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        or (
            one["method"] == "Network.requestWillBeSent"
            and not one["params"]["request"]["url"].startswith((url, "data:"))
        )
    ]
    return result["result"].get("value"), wrong
