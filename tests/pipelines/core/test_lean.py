"""A process of a command's own goes without libraries; one that others use too does not."""

import subprocess
import sys

from pipelines.core.lean import go_without

CODE = """
import sys
from pipelines.core.lean import go_without, own
assert not go_without("colorsys")
import colorsys
own()
assert not go_without("colorsys", "tabnanny")
assert go_without("tabnanny", "there_is_no_such_thing")
try:
    import tabnanny
except ImportError:
    print("without")
"""


def test_a_process_of_its_own_goes_without() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "without\n"


def test_a_process_of_many_keeps_what_it_has() -> None:
    assert not go_without("tabnanny")
    assert "tabnanny" not in sys.modules
