"""HEALTHCHECK of the images: exit code 0 if the service of this container answers.

``health.py superlink`` asks over TLS, by the name and CA that sites use; ``health.py supernode``
asks the SuperNode's local port, which says that it lives, not that it is connected.
"""

import os
import ssl
import sys
from urllib.request import urlopen


def _ask(role: str) -> int:
    if role == "superlink":
        port = os.environ.get("DTFL_PORT", "8000")
        context = ssl.create_default_context(cafile=f"{os.environ['DTFL_CERTS']}/ca.crt")
        url = f"https://localhost:{port}/health"
    else:
        url, context = f"http://127.0.0.1:{os.environ.get('DTFL_NODE_PORT', '9094')}/health", None
    with urlopen(url, timeout=5, context=context) as answer:
        return int(answer.status)


if __name__ == "__main__":
    try:
        sys.exit(_ask(sys.argv[1]) != 200)
    except OSError as error:
        sys.exit(f"not healthy: {error}")
