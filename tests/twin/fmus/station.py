"""A station as an FMU, by PythonFMU: a tank that a pump fills and a valve empties.

``A dh/dt = (q_in - q_out) / 1000 - leak``, ``q_in = on * 12 L/s``, ``q_out = opening * c sqrt(h)``.
The pump starts below 2 m and stops above 4 m. Flows are means over a step.
"""

from math import sqrt

from pythonfmu import Boolean, Fmi2Causality, Fmi2Slave, Fmi2Variability, Real

STEP_S = 10.0


class Station(Fmi2Slave):
    author = "DTFL"
    description = "tank, pump and valve"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.level, self.inflow, self.outflow, self.on = 3.0, 0.0, 0.0, True
        self.opening, self.leak, self.stall = 0.8, 0.0, 0.0
        self.area, self.coefficient = 20.0, 4.0
        for name in ("level", "inflow", "outflow"):
            self.register_variable(Real(name, causality=Fmi2Causality.output))
        discrete = Fmi2Variability.discrete
        self.register_variable(Boolean("on", causality=Fmi2Causality.output, variability=discrete))
        for name in ("opening", "leak", "stall"):
            self.register_variable(Real(name, causality=Fmi2Causality.input))
        for name in ("area", "coefficient"):
            kind = Fmi2Variability.tunable
            self.register_variable(Real(name, causality=Fmi2Causality.parameter, variability=kind))

    def do_step(self, current_time, step_size):
        if self.stall > 0:
            raise ArithmeticError("the solver found no solution")
        steps = round(step_size / STEP_S)
        flowed_in = flowed_out = 0.0
        for _ in range(steps):
            self.on = self.level < 2.0 or (self.on and self.level < 4.0)
            inflow = 12.0 if self.on else 0.0
            outflow = self.opening * self.coefficient * sqrt(self.level)
            net = (inflow - outflow - self.leak) / 1000
            self.level = max(self.level + net * STEP_S / self.area, 0.0)
            flowed_in, flowed_out = flowed_in + inflow, flowed_out + outflow
        self.inflow, self.outflow = flowed_in / steps, flowed_out / steps
        return True
