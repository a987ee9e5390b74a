"""Write docs/reference.md: what those who extend DTFL import, read from the code.

Run it from the repository: python docs/reference.py
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent / "reference.md"

_HEAD = """\
# Reference: what you import

What those who extend DTFL import; other modules are the app's own. Docstrings have parameters,
shapes, units and errors: `python -m pydoc dtfl_app.rounds.method`. Written by
`python docs/reference.py` from the code.
"""

#: Heading, the page that explains it, and its modules.
_PARTS: list[tuple[str, str, list[str]]] = [
    (
        "A strategy",
        "your-strategy.md",
        [
            "dtfl_app.rounds.strategy",
            "dtfl_app.rounds.method",
            "dtfl_app.rounds.state",
            "dtfl_app.rounds.parameters",
            "dtfl_app.rounds.twin_trainer",
            "dtfl_app.messages.admission",
            "dtfl_app.core.settings",
        ],
    ),
    ("Its site half", "your-site-rule.md", ["dtfl_app.rounds.site_rule"]),
    ("An aggregation rule", "trust.md", ["dtfl_app.rounds.rules"]),
    ("A detector", "your-detector.md", ["dtfl_app.detector.detector"]),
    (
        "A data set",
        "your-dataset.md",
        ["dtfl_app.sites.federation", "dtfl_app.sites.features", "twin.schema"],
    ),
    (
        "A twin",
        "twin.md",
        ["twin.base", "twin.planning", "twin.function", "twin.fmi.simulate", "twin.recorded"],
    ),
    ("In another Flower app", "flower-citizens.md", ["dtfl_app.flower"]),
    (
        "Checks of all these",
        "your-strategy.md",
        [
            "dtfl_app.testing.strategies",
            "dtfl_app.testing.detectors",
            "dtfl_app.testing.datasets",
            "dtfl_app.testing.twins",
            "dtfl_app.testing.plant",
            "dtfl_app.testing.runs",
            "dtfl_app.testing.grid",
        ],
    ),
]


def page() -> str:
    """Return the page's text."""
    return _HEAD + "".join(_part(*part) for part in _PARTS)


def _part(heading: str, explained: str, modules: list[str]) -> str:
    tables = "".join(_module(name) for name in modules)
    return f"\n## {heading}\n\nExplained in [{explained}]({explained}).\n{tables}"


def _module(name: str) -> str:
    module = importlib.import_module(name)
    rows = [row for entry in module.__all__ for row in _rows(entry, getattr(module, entry))]
    about = "\n".join(f"| `{call}` | {said} |" for call, said in rows)
    return f"\n**`{name}`**: {_first(module)}\n\n| name | what it is |\n| --- | --- |\n{about}\n"


def _rows(name: str, found: object) -> Iterator[tuple[str, str]]:
    """A name, and of a class whatever methods it has of its own."""
    if inspect.isfunction(found):
        yield f"{name}{_arguments(found)}", _first(found)
        return
    plainly = f"`{found!r}`" if isinstance(found, int | float | str) else type(found).__name__
    yield name, _first(found) if inspect.isclass(found) else plainly
    if inspect.isclass(found):
        for method, one in vars(found).items():
            plain = getattr(one, "__func__", one)
            if not method.startswith("_") and inspect.isfunction(plain) and plain.__doc__:
                yield f"{name}.{method}{_arguments(plain)}", _first(plain)


def _arguments(found: object) -> str:
    given = inspect.signature(found).parameters.values()  # type: ignore[arg-type] # a function
    names = [one.name for one in given if one.name not in ("self", "cls")]
    return f"({', '.join(names)})"


def _first(found: object) -> str:
    """First line of a docstring, fit for a table."""
    return (inspect.getdoc(found) or "").partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written to {PAGE}")
