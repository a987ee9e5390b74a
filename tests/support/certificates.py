"""Certificates for tests, made as `dtfl certificates` makes them, with any validity."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dtfl_app.operations.certificates import Validity, create_authority, issue_server_certificate

DAY = timedelta(days=1)


def make_certificates(
    folder: Path, hosts: Sequence[str] = ("localhost",), starts: float = -1, ends: float = 100
) -> Path:
    """Write an authority and a server certificate that holds from now + `starts` to `ends` days."""
    now = datetime.now(UTC)
    create_authority(folder, Validity(now - 1000 * DAY, now + 1000 * DAY))
    validity = Validity(now + starts * DAY, now + ends * DAY)
    issue_server_certificate(folder, hosts, validity)
    return folder
