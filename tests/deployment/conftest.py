import pytest

from tests.support.certificates import make_certificates


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """Sound certificates for localhost, shared: nobody writes to them."""
    return make_certificates(tmp_path_factory.mktemp("sound") / "certs")
