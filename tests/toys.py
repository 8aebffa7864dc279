"""An experiment that takes no time, for the tests of the engine."""

TOY = '''"""Is a made up question answered by made up numbers?"""

import os
import random
import time
from pathlib import Path

GRID = {"norm": ["none", "layer"], "size": [1, 2, 4], "eps": [1e-5, 0.1]}
SEEDS = range(3)
MEASUREMENTS = {"error": 0.01, "loss": 0.1}


def run(config, seed, device="cpu"):
    if folder := os.environ.get("TOY_PIDS"):
        Path(folder, str(os.getpid())).touch()
    if os.environ.get("TOY_DIES") == f"{config['norm']}{config['size']}":
        os._exit(1)
    if os.environ.get("TOY_FAILS") == f"{config['norm']}{config['size']}":
        raise ArithmeticError("made up to fail")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    numbers = random.Random(f"{config} {seed}")
    return {"error": numbers.random(), "loss": numbers.gauss(0, 1e-7)}
'''

TUNED = '''"""Is a made up rate tuned before it counts, as it should be?"""

from lnlib.lab.experiment import Tuning

GRID = {"norm": ["none", "layer"], "size": [1, 8]}
SEEDS = range(3)
TUNING = Tuning("lr", (0.1, 0.3, 1.0), seeds=(100, 101), by="val")
MEASUREMENTS = {"val": 0.0, "test": 0.0}
BEST = {("none", 1): 0.1, ("none", 8): 1.0, ("layer", 8): 0.3}


def allowed(config):
    return (config["norm"], config["size"]) in BEST


def cost(config):
    return 1 / config["size"]


def run(config, seed, device="cpu"):
    best = BEST[config["norm"], config["size"]]
    val = abs(config["lr"] - best) + seed / 1000
    return {"val": val, "test": val + 1 if config["stage"] == "test" else None}
'''


def write(folder, name="toy", text=TOY):
    """The path of a file with an experiment in it."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return path
