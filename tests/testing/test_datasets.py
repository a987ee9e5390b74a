"""Our own data sets keep every promise."""

from dtfl_app.testing.datasets import check_dataset
from dtfl_app.testing.plant import SmallPlant


def test_files_of_sites_keep_all_promises(tmp_path):
    settings = SmallPlant.write(tmp_path / "plant").settings()

    kept = check_dataset("files", tmp_path, settings=settings)

    assert len(kept) == 6
