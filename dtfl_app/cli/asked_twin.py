"""The twin that a command line names, and the recording that it is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtfl_app.cli.app_folder import find_own_modules
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.inputs.twins import named_twin, read_plant, require_same_channels
from dtfl_app.sites.batadal import read_batadal
from dtfl_app.sites.known_schemas import KNOWN_SCHEMAS
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema
from twin.base import FittedTwin, Scenario, Twin
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.plant import PlantModel
from twin.ctown.simulate import CTownTwin
from twin.recorded import RecordedTwin, read_series
from twin.schema import ABNORMAL, LABEL

__all__ = ["CTOWN", "AskedTwin", "normal_operation"]

#: The kind that has options of its own on the command line, and a schema without a word.
CTOWN = "ctown"


@dataclass(frozen=True, slots=True)
class AskedTwin:
    """What the options of a command say of a twin; files are relative to the current folder.

    Parameters
    ----------
    kind, options : as `twin.kind` and `twin.options` of a run.
    schema : file of a site schema, or the name of one that is known; empty = C-Town's.
    network, plant : ctown's own.
    """

    kind: str
    options: str
    schema: str
    network: str
    plant: Path | None

    def twin(self) -> Twin:
        """Build the twin; errors as `named_twin`."""
        if self.kind == CTOWN:
            twin = CTownTwin(self.plant_model())
            require_same_channels(twin.schema, self.site().schema)
            return twin
        for name, value in (("--network", self.network), ("--plant", self.plant)):
            if value:
                raise ConfigError(
                    f"{name} {value}: this is for --kind {CTOWN}, and the kind is {self.kind!r}; "
                    "give what it needs by --options"
                )
        site = self.site()
        find_own_modules()
        return named_twin(self.kind, self.options, site, Path())

    def site(self) -> SiteSchema:
        """Return the schema of the sites that the twin is of."""
        named = self.schema or (CTOWN if self.kind == CTOWN else "")
        if named in KNOWN_SCHEMAS:
            return KNOWN_SCHEMAS[named]
        if named:
            return read_site_schema(Path(named))
        raise ConfigError(
            f"--kind {self.kind} needs --schema, the site schema (TOML) of the plant it is the "
            f"twin of, or one of {', '.join(KNOWN_SCHEMAS)}; `dtfl site draft FILE` writes a "
            "first one"
        )

    def plant_model(self) -> PlantModel:
        """Return C-Town's plant, from its network or calibrated."""
        if self.options:
            raise ConfigError(
                f"--options {self.options}: the kind {CTOWN} has none; it takes --network or "
                "--plant"
            )
        if self.plant is None:
            return default_plant(self.network)
        if self.network:
            raise ConfigError(
                f"--network {self.network} and --plant {self.plant}: a plant file names its own "
                "network; give one"
            )
        try:
            text = self.plant.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--plant {self.plant}: cannot be read ({error}); expected a JSON file of "
                "'dtfl twin calibrate'"
            ) from error
        return PlantModel.from_json(text, str(self.plant))

    def read(self, file: Path) -> pd.DataFrame:
        """Read a plant's recording by the schema; without one as C-Town's or BATADAL's."""
        return read_plant(file, self.site()) if self.schema else _read_scada(file)

    def fitted(self, file: Path) -> tuple[str, pd.DataFrame]:
        """Fit the twin to a recording: the text of its file, and a table of what was fitted."""
        twin = self.twin()
        if not isinstance(twin, FittedTwin):
            raise ConfigError(
                f"--kind {self.kind}: this kind has no calibration; change its parameters where "
                "they stand (its file, its function or --options) until `dtfl twin compare` says "
                "use, or give its class a method calibrate (twin.base.FittedTwin)"
            )
        series = self.read(file)
        return twin.calibrate(series[series[LABEL] != ABNORMAL])


def normal_operation(twin: Twin, rows: int, hours: int, seed: int) -> pd.DataFrame:
    """Simulate normal operation for so many hours; 0 = as long as `rows` readings of a plant."""
    whole = hours or max(1, math.ceil(rows * twin.schema.period_s / 3600))
    if isinstance(twin, RecordedTwin):
        parts = [twin.simulate(Scenario(name, whole, seed)) for name in twin.instances]
        series = pd.concat(parts, ignore_index=True)
        return series[series[LABEL] != ABNORMAL]
    if isinstance(twin, CTownTwin):
        return twin.simulate(Scenario("normal operation", whole, seed))
    return twin.simulate(twin.plan(1, whole, seed, [])[0])


def _read_scada(file: Path) -> pd.DataFrame:
    """Read a labelled series, or a CSV file in BATADAL's layout."""
    if file.suffix == ".parquet":
        return read_series(file, SCADA)
    try:
        with file.open() as lines:
            header = lines.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); expected a CSV or Parquet file"
        ) from error
    return read_batadal(file) if "DATETIME" in header else read_series(file, SCADA)
