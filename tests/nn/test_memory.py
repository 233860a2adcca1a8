"""Freed memory is kept, where the allocator can be told to."""

import ctypes
import platform
import subprocess
import sys

import pytest

from foreknow.nn import memory

pytestmark = pytest.mark.filterwarnings("error")

_FAULTS = """
import resource, sys
import numpy as np
from foreknow.nn.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def steps(num):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(num):
        blocks = [np.ones(2 << 20) for _ in range(8)]  # 16 MiB each
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
steps(3)
print(steps(5))
"""


def faults(mode):
    done = subprocess.run([sys.executable, "-c", _FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators can't be told")
def test_a_second_step_finds_its_memory_still_there():
    assert faults("keep") < faults("leave") / 10


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # no mallopt
    assert memory.keep_freed_memory() is False
