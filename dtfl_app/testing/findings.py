"""What a check finds: every promise by name, kept or broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dtfl_app.core.errors import DTFLError

__all__ = ["Findings"]


@dataclass(slots=True)
class Findings:
    """Collects what was tried and what of it failed.

    Parameters
    ----------
    subject : what is checked, e.g. "strategy mine:Mine".
    kept : promises that held, in the order in which they were tried.
    broken : promises that did not, with what was found instead.
    """

    subject: str
    kept: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def trying(self, promise: str) -> Iterator[None]:
        """Take what is raised in the block as this promise broken, and go on after it."""
        try:
            yield
        except (AssertionError, DTFLError) as error:
            self.broken.append(f"{promise}: {error}")
        except Exception as error:
            self.broken.append(f"{promise}: {type(error).__name__}: {error}")
        else:
            self.kept.append(promise)

    def conclude(self) -> list[str]:
        """Return the promises that held; AssertionError, with all others, if there are any."""
        if self.broken:
            told = "\n".join(f"- {line}" for line in self.broken)
            raise AssertionError(f"{self.subject} breaks what the app relies on:\n{told}")
        return self.kept
