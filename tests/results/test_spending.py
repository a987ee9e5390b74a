import json

import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.core.sections import PrivacySettings
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.results.spending import read_spending
from tests.support.run_folder import ACCOUNT


def test_a_ledgers_report_is_read(tmp_path):
    """Site b gave two updates of cwa, a one; a gave one of lpe as well."""
    ledger = PrivacyLedger(PrivacySettings(dp=True))
    for strategy, sites in (("cwa", ["a", "b"]), ("cwa", ["b"]), ("lpe", ["a"])):
        ledger.count(strategy, sites)
    path = tmp_path / "privacy.json"
    path.write_text(json.dumps(ledger.report()))

    spending = read_spending(path)

    assert {name: site for name, (site, _) in spending.worst().items()} == {"cwa": "b", "lpe": "a"}
    assert spending.epsilon == ledger.spent()
    assert spending.together == ledger.total()
    assert spending.releases["cwa"] == {"a": 1, "b": 2}
    assert (spending.delta, len(spending.not_covered) > 0) == (1e-5, True)


def test_without_a_file_there_is_no_account(tmp_path):
    assert read_spending(tmp_path / "privacy.json") is None


@pytest.mark.parametrize("key", list(ACCOUNT))
def test_an_account_that_lacks_something_is_refused(tmp_path, key):
    path = tmp_path / "privacy.json"
    path.write_text(json.dumps({k: v for k, v in ACCOUNT.items() if k != key}))

    with pytest.raises(DataError, match=f"not a privacy account .*{key}"):
        read_spending(path)
