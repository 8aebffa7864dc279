"""What every test here starts from."""

import sys
from pathlib import Path

import hypothesis
import matplotlib

# No test opens a window.
matplotlib.use("agg")

# A busy machine is slow, and not wrong.
hypothesis.settings.register_profile("lnlib", deadline=None)
hypothesis.settings.load_profile("lnlib")

# The scripts behind make are tested too.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
