"""EPANET networks that the wntr and epyt wheels ship, and C-Town as a file with controls."""

from importlib.util import find_spec
from pathlib import Path

from twin.base import Scenario
from twin.ctown.defaults import SETPOINTS, default_plant
from twin.ctown.network import ctown_file, network_of
from twin.ctown.run import ScenarioRun


def shipped(package: str, path: str) -> Path:
    """Return a file of an installed package without importing it."""
    return Path(find_spec(package).submodule_search_locations[0]) / path


NET1 = shipped("wntr", "library/networks/Net1.inp")
NET2 = shipped("wntr", "library/networks/Net2.inp")
NET3 = shipped("wntr", "library/networks/Net3.inp")
KY4 = shipped("wntr", "library/networks/ky4.inp")
LTOWN = shipped("epyt", "networks/L-TOWN.inp")
ANYTOWN = shipped("epyt", "networks/exeter-benchmarks/anytown-exeter.inp")
HANOI = shipped("epyt", "networks/asce-tf-wdst/Hanoi.inp")
UNCALIBRATED = ctown_file(default_plant())


def write_ctown(folder: Path) -> Path:
    """Write the default C-Town plant as a file of its own, PLC rules as [CONTROLS]."""
    plant = default_plant()
    text = ScenarioRun(plant, network_of(plant), Scenario("file", 48, 0)).input_text()
    controls = "\n".join(
        f"LINK {link} OPEN IF NODE {rule.tank} BELOW {rule.on_below}\n"
        f"LINK {link} CLOSED IF NODE {rule.tank} ABOVE {rule.off_above}"
        for link, rule in SETPOINTS.items()
    )
    path = folder / "ctown.inp"
    path.write_text(text.replace("[TIMES]", f"[CONTROLS]\n{controls}\n\n[TIMES]"))
    return path


def edited(path: Path, folder: Path, *changes: tuple[str, str]) -> Path:
    """Write a copy of a network file in which each first text is replaced by the second."""
    text = path.read_text(encoding="latin-1")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    copy = folder / path.name
    copy.write_text(text, encoding="latin-1")
    return copy
