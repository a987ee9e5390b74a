"""The EPANET input of one scenario: the plant's own network file with demands and states filled in.

The file's controls go (the twin has its own PLCs), and so does everything about water quality.
Each DMA gets one pattern that holds its whole demand series, so that nothing has to be set while
the simulation runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from twin.ctown.network import Network
from twin.ctown.plant import PlantModel
from twin.ctown.scada import LINKS
from twin.epanet.inpfile import InpRow, Sections, format_inp

__all__ = ["scenario_inp"]

FloatArray = npt.NDArray[np.float64]

#: Values per row of [PATTERNS], well under EPANET's 1024 characters per line.
_PATTERN_ROW = 24


def scenario_inp(
    plant: PlantModel,
    network: Network,
    levels: Mapping[str, float],
    demands: Mapping[str, FloatArray],
    bursts: Iterable[tuple[str, FloatArray]] = (),
) -> str:
    """Return the text of the EPANET input file.

    Parameters
    ----------
    plant, network : what is simulated.
    levels : tank -> level at the start in m.
    demands : DMA -> demand in L/s per hour. shape: (hours,)
    bursts : (junction, extra demand in L/s per hour), any number of them.
    """
    extra = {f"BURST{number}": burst for number, burst in enumerate(bursts)}
    series = {**demands, **{name: burst for name, (_, burst) in extra.items()}}
    sections = network.sections
    return format_inp(
        {
            "JUNCTIONS": [row[:2] for row in sections["JUNCTIONS"]],
            "RESERVOIRS": sections["RESERVOIRS"],
            "TANKS": [(*r[:2], repr(levels[r[0]]), *r[3:]) for r in sections["TANKS"]],
            "PIPES": [_pipe(row, plant, network) for row in sections["PIPES"]],
            "PUMPS": [(*r[:3], "HEAD", f"CURVE_{r[0]}") for r in sections["PUMPS"]],
            "VALVES": sections["VALVES"],
            "STATUS": _status(sections),
            "DEMANDS": [
                *((node, repr(share), network.dma[node]) for node, share in network.shares.items()),
                *((node, "1", name) for name, (node, _) in extra.items()),
            ],
            "PATTERNS": [row for name in series for row in _pattern(name, series[name])],
            "CURVES": _curves(plant),
            "TIMES": _times(plant, len(next(iter(demands.values())))),
            "OPTIONS": _OPTIONS,
        }
    )


_OPTIONS: tuple[InpRow, ...] = (
    ("UNITS", "LPS"),
    ("HEADLOSS", "H-W"),
    ("TRIALS", "200"),
    # At 0.01 the iteration sometimes stops between two valve states ("may be unstable").
    ("ACCURACY", "0.001"),
    # Ten more iterations with all states frozen, then warning 1, which ends the scenario.
    ("UNBALANCED", "CONTINUE", "10"),
    ("EMITTER", "EXPONENT", "0.5"),
)


def _pipe(row: InpRow, plant: PlantModel, network: Network) -> InpRow:
    factor = plant.roughness.get(network.dma[row[1]], plant.roughness.get("", 1.0))
    return (*row[:5], repr(float(row[5]) * factor), *row[6:])


def _status(sections: Sections) -> list[InpRow]:
    """Close all that PLCs switch; other links keep the file's state."""
    kept = [row for row in sections.get("STATUS", ()) if row[0] not in LINKS]
    return [*kept, *((link, "CLOSED") for link in LINKS)]


def _pattern(name: str, values: FloatArray) -> list[InpRow]:
    words = [repr(float(value)) for value in values]
    return [
        (name, *words[start : start + _PATTERN_ROW]) for start in range(0, len(words), _PATTERN_ROW)
    ]


def _curves(plant: PlantModel) -> list[InpRow]:
    return [
        (f"CURVE_{pump}", repr(flow), repr(head))
        for pump, points in plant.pump_curves.items()
        for flow, head in points
    ]


def _times(plant: PlantModel, hours: int) -> list[InpRow]:
    step = str(plant.plc_step_s)
    return [
        ("DURATION", str((hours - 1) * 3600), "SEC"),
        ("HYDRAULIC", "TIMESTEP", step, "SEC"),
        ("PATTERN", "TIMESTEP", "1:00"),
        # A tank that fills or empties ends a step early; the next report time brings the
        # simulation back in line with the PLCs.
        ("REPORT", "TIMESTEP", step, "SEC"),
    ]
