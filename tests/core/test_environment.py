import os
import platform
from importlib.metadata import version

from dtfl_app.core.environment import describe_hardware, installed_versions


def test_versions_are_pythons_and_those_of_the_packages_that_are_there():
    assert installed_versions(["numpy", "no-such-package"]) == {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "no-such-package": "not installed",
    }


def test_hardware_is_cores_architecture_and_memory():
    start, memory, unit = describe_hardware().rsplit(" ", 2)

    assert start == f"{os.cpu_count()} cores {platform.machine()},"
    assert int(memory) >= 0
    assert unit == "GiB"
