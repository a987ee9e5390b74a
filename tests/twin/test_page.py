"""docs/twin.md: its example runs and prints what the page says."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "twin.md"


def test_the_pages_example_prints_what_the_page_says():
    code, said = re.search(r"```py\n(.*?)```.*?```text\n(.*?)```", PAGE.read_text(), re.S).groups()

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout == said
