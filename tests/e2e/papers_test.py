"""Every arm of every experiment of tools/reproduce.sh is a recipe that builds, and the names are those of the recipes."""
import importlib.util
import os
import shutil
import subprocess
import sys

from hone_cli import HONE, SOURCE, hone, newest, train

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("reproduce", SOURCE + "/tools/reproduce.py")
reproduce = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reproduce)

shutil.rmtree("model", ignore_errors=True)
model = os.path.abspath(newest(train("model", "stage[0].steps=6", "stage[1].steps=1", "evaluation.prompts=0")))
os.chdir(SOURCE)
names = {name.removesuffix(".textproto") for name in os.listdir("recipes/papers") if name.endswith(".textproto")}
starts = {name for name in names if name.startswith("start")}
assert names - starts == set(reproduce.EXPERIMENTS), names
for start in starts:
    hone("train", f"recipes/papers/{start}.textproto", "--explain")
for name, experiment in reproduce.EXPERIMENTS.items():
    recipe = reproduce.recipe_of(name)
    assert os.path.basename(reproduce.start_of(recipe)).removesuffix(".textproto") in starts
    resolved = {}
    for arm, changes in experiment.get("arms", {"": []}).items():
        sets = [part for change in [f"model.path={model}", *changes] for part in ("--set", change)]
        resolved[arm] = hone("train", recipe, "--explain", *sets)[0]
    assert len(set(resolved.values())) == len(resolved), f"{name}: two arms are the same recipe"

wrong = subprocess.run([sys.executable, "tools/reproduce.py", "nope"], capture_output=True, text=True, env={**os.environ, "HONE_BINARY": HONE})
assert wrong.returncode == 2 and wrong.stderr.startswith("reproduce: no experiment 'nope'; have: "), wrong.stderr
