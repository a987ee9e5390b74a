import re
from datetime import datetime, timedelta

from dtfl_app.core.naming import file_name, run_name


def test_a_run_is_named_by_the_local_time_and_its_data_set():
    stamp = re.fullmatch(r"(\d{8}-\d{6})-plants", run_name("plants"))[1]

    age = datetime.now() - datetime.strptime(stamp, "%Y%m%d-%H%M%S")
    assert timedelta() <= age < timedelta(minutes=1)


def test_an_import_path_becomes_a_file_name_every_system_takes():
    assert file_name("cwa") == "cwa"
    assert file_name("my_plant.methods:Median") == "my_plant.methods.Median"


def test_a_run_on_a_data_set_of_ones_own_has_a_name_every_system_takes():
    assert run_name("tank_sites:TankSites").endswith("-tank_sites.TankSites")
