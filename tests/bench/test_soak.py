"""The soak's plan and its figures; the soak itself is a benchmark."""

from collections import Counter

import pandas as pd
import psutil

from benchmarks import soak


def test_every_third_round_one_site_misbehaves_and_halfway_a_process_dies():
    """20 rounds: 3, 6, 9, 12, 15 and 18; 9 is the one nearest to 10."""
    entries = [entry.split(":") for entry in soak.plan_text(20).split(",")]

    assert [int(number) for number, _, _ in entries] == [3, 6, 9, 12, 15, 18]
    assert len({site for _, site, _ in entries}) == 6
    faults = Counter(fault for _, _, fault in entries)
    assert faults == {"nan": 2, "extra-layer": 2, "fail": 1, "exit": 1}


def test_a_process_that_grows_by_a_fifth_of_a_megabyte_a_round_grows_by_20_in_100():
    """Rounds 26 to 100 count: from 105.2 to 120 MB. A process seen for 5 rounds has no line."""
    grows = [soak.Sample(n, "worker", 1, 100 + 0.2 * n) for n in range(1, 101)]
    short = [soak.Sample(n, "worker", 2, 50.0) for n in range(40, 45)]

    *_, row = soak.slopes_table(pd.DataFrame(grows + short), rounds=100).splitlines()

    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["worker", "26 to 100", "105.2", "120.0", "+20.00", "+20.00 to +20.00"]


def test_memory_is_read_of_processes_that_have_a_role(monkeypatch):
    with psutil.Popen(["sleep", "60"]) as child:
        monkeypatch.setitem(soak.ROLES, "sleep 60", "sleeper")
        samples = [sample for sample in soak.memory_now(7) if sample.pid == child.pid]
        child.kill()

    assert [(sample.round, sample.role) for sample in samples] == [(7, "sleeper")]
    assert 0 < samples[0].megabytes < 100
