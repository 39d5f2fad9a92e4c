"""A headless Chromium, told what to do over a pipe by the DevTools protocol: no package, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 20.0
"""For an answer of the browser, and for what a test waits for."""
_LOOK_SECONDS = 0.05
MOST_STOPS = 300
"""Of Tab in a page: more than anybody wants to press."""
_KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), "End": (35, ""), "Home": (36, ""),
    "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, ""),
}  # fmt: skip
_SHIFT = 8


def why_not() -> str | None:
    """What keeps this machine from browsing; None where nothing does."""
    return None if any(map(shutil.which, CHROMIUMS)) else "this test needs chromium, and there is none on PATH"


class Browser:
    """A Chromium that runs."""

    def __init__(self, profile: str) -> None:
        low, self._write = os.pipe()
        self._read, low_too = os.pipe()
        to_browser, from_browser = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (low, low_too))
        os.close(low)
        os.close(low_too)
        program = next(found for name in CHROMIUMS if (found := shutil.which(name)))
        words = [
            program, "--headless=new", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
            "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={profile}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank",
        ]  # fmt: skip
        # Chromium takes 3 and 4, so a shell puts the pipes there; above 9 neither is in the other's way.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser} {to_browser}<&- {from_browser}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *words],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._left = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask it to do something, and take what it answers; what it tells meanwhile is kept in `events`."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            told = self._told(until)
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def _told(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError(f"chromium says nothing more; exit code {self._process.poll()}")
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def close(self) -> None:
        """No process is left."""
        os.close(self._write)  # it ends with the pipe
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


class Page:
    """A page of the browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._target = target
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.size(1280, 900)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def goto(self, url: str) -> None:
        """Open an address, and wait until all that it names was loaded."""
        self.evaluate("window.before = true")
        told = self._call("Page.navigate", url=url)
        if "errorText" in told:
            raise RuntimeError(f"{url}: {told['errorText']}")
        self.wait_for("!window.before && document.readyState === 'complete'")

    def size(self, width: int, height: int) -> None:
        """Of the window, in pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name: str) -> None:
        """`dark` or `light`, as the user prefers."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited where it is a promise."""
        told = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script}: {json.dumps(told['exceptionDetails'])[:2000]}")
        return told["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                if self.evaluate(f"Boolean({script})"):
                    return
            except RuntimeError as error:
                # The page that was asked made way for another, which has not been asked yet.
                if "Inspected target navigated" not in str(error):
                    raise
            time.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"the page never came to {script}")

    def close(self) -> None:
        """Close the tab, which would ask for its page again and again."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def drawn(self) -> None:
        """Wait until the page was drawn as it is now: scripts that follow its size have done so a frame later."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key of the keyboard."""
        code, text = _KEYS[key]
        same = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": _SHIFT if shift else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown", **same, **({"text": text} if text else {}))
        self._call("Input.dispatchKeyEvent", type="keyUp", **same)

    def reached(self) -> list[str]:
        """What Tab comes to, in order, from the top until it begins again: each as its place, tag and words."""
        self.evaluate("document.activeElement.blur()")
        found: list[str] = []
        for _ in range(MOST_STOPS):
            self.press("Tab")
            told = self.evaluate(_FOCUSED)
            if told is None or told in found:
                return found
            found.append(told)
        raise RuntimeError(f"Tab stops more than {MOST_STOPS} times, and never begins again")

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page, or of what the window shows of it."""
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(data["data"]))

    def problems(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what the Content-Security-Policy has refused, so far."""
        self.evaluate("1")  # what was told before this was told
        return [told for event in self._browser.events if (told := self._problem(event))]

    def _problem(self, event: dict[str, Any]) -> str | None:
        if event.get("sessionId") != self._session:
            return None
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                return f"exception: {json.dumps(params['exceptionDetails'])[:1000]}"
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                return f"console: {json.dumps(params['args'])[:1000]}"
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                return f"log: {params['entry']['text']} {params['entry'].get('url', '')}"
        return None


_FOCUSED = """(() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const all = [...document.querySelectorAll('*')];
  return all.indexOf(one) + ' ' + one.tagName.toLowerCase() + ' '
    + (one.getAttribute('aria-label') || one.textContent || one.name || '').trim().slice(0, 60);
})()"""


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            yield browser
        finally:
            browser.close()
