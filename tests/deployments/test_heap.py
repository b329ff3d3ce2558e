"""What a process keeps of the memory that it let go of."""

import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy
from deployments import heap

if {keeps}:
    assert heap.keep()
heap.trim()
for turn in range(12):
    if turn == 2:
        began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers = [numpy.ones(5_000_000, numpy.float32) for _ in range(5)]
    del layers
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began) // 10)
"""


@pytest.mark.skipif("linux" not in sys.platform, reason="the C library is glibc on Linux")
def test_what_a_layer_lets_go_of_is_there_for_the_next() -> None:
    faults = [
        int(subprocess.check_output([sys.executable, "-c", _FAULTS.format(keeps=keeps)])) for keeps in (0, 1)
    ]
    assert faults[0] > 1_000, "pages come from the kernel anew in each turn"
    assert faults[1] < 100
