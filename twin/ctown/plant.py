"""The numbers that make one C-Town plant differ from another; everything else is the network file.

A `PlantModel` is what calibration fits, what heterogeneity perturbs and what is stored as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from twin.epanet.plc import SetPoint
from twin.errors import TwinError

__all__ = ["DmaDemand", "PlantModel", "SetPoint"]


@dataclass(frozen=True, slots=True)
class DmaDemand:
    """Water use of one district metered area (DMA).

    Parameters
    ----------
    mean_lps : mean demand in L/s, > 0.
    pattern : multipliers of the mean per hour of the week (168) or of the day (24), mean 1.
    noise_sd : standard deviation of the hourly multiplicative noise, in [0, 1).
    noise_ar : lag-1 autocorrelation of that noise, in [0, 1).
    season : relative amplitude of a yearly cosine, in [0, 1); 0 = none.
    """

    mean_lps: float
    pattern: tuple[float, ...]
    noise_sd: float = 0.14
    noise_ar: float = 0.4
    season: float = 0.0


@dataclass(frozen=True, slots=True)
class PlantModel:
    """One C-Town plant.

    Parameters
    ----------
    demands : DMA name ("DMA1".."DMA5") -> water use.
    setpoints : link ("PU1", "V2", ...) -> PLC rule; links without one keep `always_off`.
    pump_curves : pump -> points (flow in L/s, head gain in m), flow ascending.
    roughness : DMA name -> factor on the Hazen-Williams roughness of its pipes; "" -> all others.
    sensor_noise : channel kind -> standard deviation of additive sensor noise, in its unit.
    network : path of the EPANET file; "" = the network file in the epyt wheel.
    plc_step_s : seconds between two PLC decisions, dividing 3600.
    """

    demands: Mapping[str, DmaDemand]
    setpoints: Mapping[str, SetPoint]
    pump_curves: Mapping[str, tuple[tuple[float, float], ...]]
    roughness: Mapping[str, float] = field(default_factory=dict)
    sensor_noise: Mapping[str, float] = field(default_factory=dict)
    network: str = ""
    plc_step_s: int = 900

    def scaled(self, demand: float = 1.0, roughness: float = 1.0) -> PlantModel:
        """Return a plant that is wrong by known factors on demand and roughness (1 = unchanged)."""
        demands = {k: replace(d, mean_lps=d.mean_lps * demand) for k, d in self.demands.items()}
        factors = {k: self.roughness.get(k, 1.0) * roughness for k in [*self.demands, ""]}
        return replace(self, demands=demands, roughness=factors)

    def with_thresholds(self, factor: float, tops: Mapping[str, float]) -> PlantModel:
        """Return a plant whose PLCs switch at `factor` times the levels, never above a tank's top.

        Parameters
        ----------
        factor : > 0; 1 = unchanged.
        tops : tank -> highest level in m, for every tank that has a set-point.
        """
        if factor == 1.0:
            return self
        setpoints = {
            link: replace(
                rule,
                on_below=min(factor * rule.on_below, tops[rule.tank]),
                off_above=min(factor * rule.off_above, tops[rule.tank]),
            )
            for link, rule in self.setpoints.items()
        }
        return replace(self, setpoints=setpoints)

    def to_json(self) -> str:
        """Serialise to JSON; `from_json` gives an equal plant back."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str, where: str = "plant model") -> PlantModel:
        """Read what `to_json` wrote; TwinError when it is not that."""
        try:
            raw: dict[str, Any] = json.loads(text)
            raw["demands"] = {
                k: DmaDemand(**{**d, "pattern": tuple(d["pattern"])})
                for k, d in raw["demands"].items()
            }
            raw["setpoints"] = {k: SetPoint(**s) for k, s in raw["setpoints"].items()}
            raw["pump_curves"] = {
                k: tuple((float(q), float(h)) for q, h in c) for k, c in raw["pump_curves"].items()
            }
            return cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise TwinError(
                f"{where}: not a plant model ({error}); write one with 'dtfl twin calibrate'"
            ) from error

    def fingerprint(self) -> str:
        """Digest of the plant, including the content of a named network file."""
        digest = hashlib.sha256(self.to_json().encode())
        if self.network:
            digest.update(Path(self.network).read_bytes())
        return digest.hexdigest()[:16]
