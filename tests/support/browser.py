"""A real Chromium, headless, with a profile of its own."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

__all__ = ["Visit", "chromium", "open_browser", "visit"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """An open page, and what the browser said and asked for while it was open."""

    page: Page
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def chromium() -> str:
    """Path of an installed Chromium; absent, it skips a test, but in CI it fails it."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = "no Chromium on this machine; install it, e.g. apt-get install chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def open_browser(playwright: Playwright, profile: Path, **options: object) -> BrowserContext:
    """Start a browser with an empty profile; `options` are those of Playwright's contexts."""
    return playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=chromium(),
        args=_FLAGS,
        **{"viewport": {"width": 1280, "height": 900}, **options},
    )


def visit(context: BrowserContext, file: Path) -> Visit:
    """Open a file and record everything from the first byte on."""
    seen = Visit(context.new_page())
    seen.page.on("console", lambda message: seen.console.append(message.text))
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.goto(file.as_uri())
    return seen
