"""A run with bfloat16 parameters and float32 masters: killed and resumed to the same bytes, on-policy to the bit, checkpoints in bfloat16."""
# ctest: TIMEOUT 600
import json
import shutil
import struct

from hone_cli import hone, lines, newest, same_run, train, train_killed

SETS = ["stage[0].parameters=bfloat16", "stage[1].parameters=bfloat16", "stage[0].activation_checkpointing=true", "stage[0].steps=60",
        "stage[1].steps=12"]

shutil.rmtree("first", ignore_errors=True)
train("first", *SETS)
rows = lines("first/metrics.jsonl")
on_policy = [row["mismatch/logprob_abs_max"] for row in rows if "mismatch/logprob_abs_max" in row]
assert len(on_policy) > 5 and not any(on_policy), "trainer and generator disagree on-policy"
losses = [row["policy/loss"] for row in rows if row["stage"] == "sft"]
assert losses[-1] < 0.8 * losses[0], losses


def header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


weights = header(newest("first") + "/model.safetensors")
assert {entry["dtype"] for name, entry in weights.items() if name != "__metadata__"} == {"BF16"}
state = header("first/checkpoints/step_000050/state/optimizer.safetensors")
assert sum(name.startswith("master.") for name in state) == len(weights) - 1
assert {entry["dtype"] for name, entry in state.items() if name != "__metadata__"} == {"F32"}

same_run(train_killed("killed", *SETS, at=(53, 67)), "first")

# Whoever loads the checkpoint has the policy's bits.
with open("prompts.jsonl", "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"id": i, "prompt": f"{i + 1} {i + 2}:{2 * i + 3}="}) + "\n" for i in range(8))
hone("generate", "--model", newest("first"), "--prompts", "prompts.jsonl", "--max_new_tokens", 10, "--logprobs", "--output", "sampled.jsonl")
hone("logprobs", "--model", newest("first"), "--input", "sampled.jsonl", "--output", "scores.jsonl")
assert [row["logprobs"] for row in lines("scores.jsonl")] == [row["logprobs"] for row in lines("sampled.jsonl")]
