"""What historians, loggers, dashboards and spreadsheets were reported to write, in small files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError
from dtfl_app.detection.rows import RowReader
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema
from twin.schema import TIME

ROWS = 60
WHEN = pd.date_range("2024-03-01", periods=ROWS, freq="min")
LEVEL = (12 + 3 * np.sin(np.arange(ROWS) / 7)).round(2)
FLOW = (4 * np.cos(np.arange(ROWS) / 7)).round(2)


@dataclass(frozen=True)
class Export:
    """An export and what a draft makes of it.

    Parameters
    ----------
    head : lines before the rows.
    row : a row's text from its number, time, level and flow.
    names : of its channels.
    missing : rows that have no level.
    left_out : columns that are no channels -> a part of the reason.
    """

    head: str
    row: Callable[[int, pd.Timestamp, float, float], str]
    names: tuple[str, ...] = ("level", "flow")
    missing: tuple[int, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def pi_row(i: int, t: pd.Timestamp, level: float, flow: float) -> str:
    words = {0: "Pt Created", 30: "Shutdown", 40: "I/O Timeout", 41: "I/O Timeout"}
    return f"{t},{words.get(i, level)},{flow}"


def campbell_row(i: int, t: pd.Timestamp, level: float, flow: float) -> str:
    return f'"{t}",{i + 100},"NAN",{flow}' if i == 20 else f'"{t}",{i + 100},{level},{flow}'


GOOD = "it tells how good readings are"
EXPORTS = {
    "InfluxDB, annotated": Export(
        "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,double,double\n"
        "#group,false,false,true,false,false,false\n#default,_result,,,,,\n"
        ",result,table,_start,_time,level,flow\n",
        lambda i, t, level, flow: f",,0,2024-03-01T00:00:00Z,{t:%Y-%m-%dT%H:%M:%SZ},{level},{flow}",
        names=("table", "level", "flow"),
        left_out={"Unnamed: 0": "no name", "result": "no reading", "_start": "are not numbers"},
    ),
    "InfluxDB, nanoseconds": Export(
        "name,time,level,flow\n",
        lambda i, t, level, flow: f"pump,{t.value},{level},{flow}",
        left_out={"name": "are not numbers"},
    ),
    "Grafana, epoch with decimals": Export(
        "Time,level,flow\n", lambda i, t, level, flow: f"{t.value / 1e6:.4f},{level},{flow}"
    ),
    "Excel's hint of its separator": Export(
        "sep=;\ntime;level;flow\n",
        lambda i, t, level, flow: f"{t};{comma(level)};{comma(flow)}",
    ),
    "a spreadsheet's days": Export(
        "time,level,flow\n",
        lambda i, t, level, flow: f"{45352 + i / 1440:.10f},{level},{flow}",
    ),
    "a minus sign of typesetting": Export(
        "time;level;flow\n",
        lambda i, t, level, flow: f"{t};{comma(level)};{comma(flow)}".replace(";-", ";\u2212"),
    ),
    "Campbell logger, TOA5": Export(
        '"TOA5","CR1000","CR1000","1234","Std.27","CPU:pump.CR1","4321","Table1"\n'
        '"TIMESTAMP","RECORD","level","flow"\n"TS","RN","m","L/s"\n"","","Avg","Avg"\n',
        campbell_row,
        missing=(20,),
        left_out={"RECORD": "it counts the rows"},
    ),
    "OPC quality in numbers": Export(
        "t_stamp,level,level_quality,flow,flow_quality\n",
        lambda i, t, level, flow: f"{t},{level},192,{flow},{192 if i % 9 else 0}",
        left_out={"level_quality": GOOD, "flow_quality": GOOD},
    ),
    "OPC quality in words": Export(
        "t_stamp,level,level_quality,flow,flow_quality\n",
        lambda i, t, level, flow: f"{t},{level},Good,{flow},{'Good' if i % 9 else 'Bad'}",
        left_out={"level_quality": GOOD, "flow_quality": GOOD},
    ),
    "PI's system states, once each": Export("time,level,flow\n", pi_row, missing=(0, 30, 40, 41)),
    "pipes": Export("time|level|flow\n", lambda i, t, level, flow: f"{t}|{level}|{flow}"),
}
REFUSED = {
    "Grafana, formatted data": (
        "Time,level\n",
        lambda i, t, level, flow: f"{t},{level} °C",
        r"first '12.0 °C' in data row 1; it has the unit '°C' behind its number",
    ),
    "Grafana, series as rows": (
        '"Series";"Time";"Value"\n',
        lambda i, t, level, flow: f'"{"ab"[i % 2]}";"{t}";{level}',
        r"column 'Series' names 2 sensors \(a, b\).*turn it with pandas",
    ),
    "date and time of day apart": (
        "Date,Time,level\n",
        lambda i, t, level, flow: f"{t:%Y/%m/%d},{t:%H:%M:%S},{level}",
        r"'Date' holds the date and 'Time' the time of day; expected both in one column",
    ),
    "files joined with their headers": (
        "time,level\n",
        lambda i, t, level, flow: "time,level" if i == 30 else f"{t},{level}",
        r"column 'time' does up to data row 31, which has 'time'",
    ),
}


def write(path: Path, head: str, row: Callable[[int, pd.Timestamp, float, float], str]) -> Path:
    rows = map(row, range(ROWS), WHEN, LEVEL, FLOW)
    path.write_text(head + "".join(f"{line}\n" for line in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_read_as_drafted_in_training_and_at_a_gateway(name, tmp_path):
    export = EXPORTS[name]
    path = write(tmp_path / "plant.csv", export.head, export.row)

    draft = draft_schema(path)

    site = schema_of(draft.toml, tmp_path)
    assert tuple(site.schema.names) == export.names
    assert len(draft.left_out) == len(export.left_out)
    for told, (column, reason) in zip(draft.left_out, export.left_out.items(), strict=True):
        assert told.startswith(f'column "{column}"') and reason in told
    assert check_file(path, site).exit_code <= 1
    series, _ = load_own_file(path, site)
    level = LEVEL.copy()
    level[list(export.missing)] = np.nan
    assert (series[TIME] == WHEN).all()
    np.testing.assert_array_equal(series["level"], level)
    np.testing.assert_array_equal(series["flow"], FLOW)
    times, readings = at_gateway(path, site)
    assert times == [t.as_unit("ns").value for t in WHEN]
    place = [site.schema.names.index(n) for n in ("level", "flow")]
    np.testing.assert_array_equal(readings[:, place], np.column_stack([level, FLOW]))


def schema_of(toml: str, folder: Path) -> SiteSchema:
    (folder / "schema.toml").write_text(toml, encoding="utf-8")
    return read_site_schema(folder / "schema.toml")


def at_gateway(path: Path, site: SiteSchema) -> tuple[list[int], np.ndarray]:
    """Times and readings of the lines, read one by one."""
    lines = [split_line(line, site.csv.separator) for line in path.read_text("utf-8").splitlines()]
    header, rows = lines[site.csv.header_row], lines[site.csv.header_row + 1 + site.csv.skip_rows :]
    reader = RowReader(site, header, "plant.csv", ())
    found = [reader.read(cells) for cells in rows]
    assert not any(isinstance(row, str) or row.bad for row in found)
    return [row.time for row in found], np.array([row.readings for row in found])


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_to_do(name, tmp_path):
    head, row, text = REFUSED[name]
    path = write(tmp_path / "plant.csv", head, row)

    with pytest.raises((DataError, SchemaError), match=text):
        draft_schema(path)
