"""Every family with every rope variant, tied and untied, against transformers in float32.

Checkpoints of random weights, made by transformers, are scored and continued by hone: log-probabilities over texts of 512 tokens differ by
at most 1e-4, and 64 greedy continuations of 128 tokens are the same. With folders as arguments it does the same for those models, on texts
of this repository.
"""
# ctest: PROCESSORS 2
import itertools
import json
import os
import shutil
import sys
import time

os.environ.setdefault("TQDM_DISABLE", "1")
import sentencepiece.sentencepiece_model_pb2 as sentencepiece_model
import torch
import transformers

SOURCE = os.environ.get("HONE_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(SOURCE, "tests/e2e"))
from hone_cli import hone, lines, newest, train  # noqa: E402

TEXTS, TEXT_TOKENS, PROMPTS, NEW_TOKENS = 4, 512, 64, 128
TOLERANCE = 1e-4  # of log-probabilities
TIE = 1e-4  # two logits that float32 need not tell apart
VOCABULARY, BATCH = 331, 16
# Logits of standard deviation 1.5. With 0.25 the same model in transformers' float32 and float64 differs by 1e-4 already.
WEIGHT_STD = 0.15
torch.set_num_threads(2)

SIZES = {"vocab_size": VOCABULARY, "intermediate_size": 80, "num_hidden_layers": 3, "max_position_embeddings": 1024}
FIRST_PIECES = ["<unk>", "<s>", "</s>", "\u2581", *"0123456789+-*/()=:"]
ROPES = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 100000.0, "factor": 3.0},
    "llama3": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 128},
    "yarn": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 256},
}
YARN_SCALED = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 16.0, "original_max_position_embeddings": 64, "mscale": 0.8,
               "mscale_all_dim": 0.5, "beta_fast": 16, "beta_slow": 2}
# Query heads, key-value heads, hidden size: all alike, grouped, one for all.
HEADS = {"mha": (4, 4, 64), "gqa": (6, 2, 96), "mqa": (5, 1, 80)}


def config(family, rope, tied, heads="gqa", **more):
    query, kv, hidden = HEADS[heads]
    sizes = {**SIZES, "hidden_size": hidden, "num_attention_heads": query, "num_key_value_heads": kv}
    made = getattr(transformers, f"{family}Config")(**{
        **sizes, "tie_word_embeddings": tied, "rope_parameters": dict(rope), "bos_token_id": 1, "eos_token_id": None,
        "initializer_range": WEIGHT_STD, **more})
    made.family = family
    return made


def product():
    """(name, config) of each family, rope and tying; what else a family may be changes from one to the next."""
    window = {"use_sliding_window": True, "sliding_window": 48, "max_window_layers": 1}
    mixed = {"use_sliding_window": True, "sliding_window": 100,
             "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    extras = {
        "Llama": [{}, {"heads": "mha", "eos_token_id": [5, 6]}, {"heads": "mqa", "head_dim": 24},
                  {"attention_bias": True, "mlp_bias": True}],
        "Mistral": [{"sliding_window": 37}, {"sliding_window": None, "heads": "mha"}, {"sliding_window": 16, "head_dim": 20},
                    {"sliding_window": 100, "heads": "mqa", "eos_token_id": 9}],
        "Qwen2": [{}, {**window, "heads": "mha"}, {**mixed, "heads": "mqa"}, {"eos_token_id": [5, 6, 7]}],
        "Qwen3": [{"head_dim": 32}, {"head_dim": 16, "heads": "mha", **window}, {"head_dim": 22, "heads": "mqa", **mixed},
                  {"head_dim": 8, "attention_bias": True}],
    }
    for family, (index, (rope, parameters)), tied in itertools.product(extras, enumerate(ROPES.items()), (True, False)):
        extra = extras[family][(index + tied) % 4]
        yield f"{family} {rope} {'tied' if tied else 'untied'} {extra}", config(family, parameters, tied, **extra)
    yield "Qwen2 yarn with mscale", config("Qwen2", YARN_SCALED, True)
    yield "Llama yarn without whole bounds", config("Llama", {**YARN_SCALED, "truncate": False, "mscale": 0.0}, False)


def write_tokenizer(folder):
    """One piece a character, those of countdown's problems first; for the rest it does not matter what the numbers mean."""
    model = sentencepiece_model.ModelProto()
    kinds = sentencepiece_model.ModelProto.SentencePiece
    for token in range(VOCABULARY):
        kind = kinds.UNKNOWN if token == 0 else kinds.CONTROL if token < 3 else kinds.NORMAL
        piece = FIRST_PIECES[token] if token < len(FIRST_PIECES) else chr(0x4E00 + token)
        model.pieces.add(piece=piece, score=-float(token), type=kind)
    model.trainer_spec.model_type = model.trainer_spec.CHAR
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = model.normalizer_spec.remove_extra_whitespaces = False
    with open(f"{folder}/tokenizer.model", "wb") as file:
        file.write(model.SerializeToString())


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def make_checkpoint(made, folder, seed):
    torch.manual_seed(seed)
    model = getattr(transformers, f"{made.family}ForCausalLM")(made).float()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases start as 1 and 0, where a forgotten one would not show
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    del made.family
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model.eval()


def padded(rows):
    """Rows side by side; what pads a row follows it, so causal attention does not see it."""
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def logprob_difference(model, folder, texts):
    write("texts.jsonl", [{"prompt_tokens": text[:1], "tokens": text[1:]} for text in texts])
    hone("logprobs", "--model", folder, "--input", "texts.jsonl", "--output", "scored.jsonl", "--threads", 2)
    worst = 0
    for text, scored in zip(texts, lines("scored.jsonl"), strict=True):
        with torch.no_grad():
            logprobs = model(torch.tensor([text])).logits[0, :-1].log_softmax(-1)
        wanted = logprobs.gather(1, torch.tensor(text[1:])[:, None])[:, 0]
        worst = max(worst, (wanted - torch.tensor(scored["logprobs"])).abs().max().item())
    return worst


def greedy_is_same(model, folder, prompts, end_tokens):
    """hone's continuation is transformers' own where each token has the largest logit after those before it. Returns the ties."""
    write("prompts.jsonl", [{"id": i, "tokens": prompt} for i, prompt in enumerate(prompts)])
    hone("generate", "--model", folder, "--prompts", "prompts.jsonl", "--max_new_tokens", NEW_TOKENS, "--temperature", 0,
         "--output", "greedy.jsonl", "--threads", 2)
    answers = [row["tokens"] for row in lines("greedy.jsonl")]
    assert len(answers) == len(prompts)
    ties = []
    for start in range(0, len(prompts), BATCH):
        batch = list(zip(prompts[start:start + BATCH], answers[start:start + BATCH]))
        with torch.no_grad():
            logits = model(padded([prompt + answer for prompt, answer in batch])).logits
        for row, (prompt, answer) in enumerate(batch):
            assert len(answer) == NEW_TOKENS or answer[-1] in end_tokens, (start + row, answer)
            assert not set(answer[:-1]) & end_tokens, (start + row, answer)
            own = logits[row, len(prompt) - 1:len(prompt) + len(answer) - 1]
            chosen = own.gather(1, torch.tensor(answer)[:, None])[:, 0]
            for i in (own.argmax(-1) != torch.tensor(answer)).nonzero()[:1, 0].tolist():
                gap = (own[i].max() - chosen[i]).item()
                assert gap < TIE, f"prompt {start + row}, token {i}: {answer[i]}, transformers {own[i].argmax().item()}, logits {gap} apart"
                ties.append(f"prompt {start + row} token {i}: {answer[i]} and {own[i].argmax().item()} are {gap:.1e} apart")
    return ties


def check(name, model, folder, texts, prompts, end_tokens):
    start = time.time()
    worst = logprob_difference(model, folder, texts)
    ties = greedy_is_same(model, folder, prompts, end_tokens)
    print(f"{name}: largest difference of log-probabilities {worst:.1e}, {len(prompts)} greedy continuations equal, {len(ties)} ties, "
          f"{time.time() - start:.1f} s", flush=True)
    for tie in ties:
        print("   ", tie)
    assert worst <= TOLERANCE, (name, worst)


def generate_too(model, folder, prompt):
    """The same through transformers' own generate, with its cache: sliding windows and all."""
    write("prompts.jsonl", [{"id": 0, "tokens": prompt}])
    hone("generate", "--model", folder, "--prompts", "prompts.jsonl", "--max_new_tokens", NEW_TOKENS, "--temperature", 0,
         "--output", "greedy.jsonl")
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False)[0]
    assert out[len(prompt):].tolist() == lines("greedy.jsonl")[0]["tokens"]


def random_checkpoints():
    random = torch.Generator().manual_seed(1)
    tokens = lambda count: torch.randint(0, VOCABULARY, (count,), generator=random).tolist()  # noqa: E731
    for seed, (name, made) in enumerate(product()):
        end = made.eos_token_id
        model = make_checkpoint(made, "checkpoint", seed)
        texts = [tokens(TEXT_TOKENS) for _ in range(TEXTS)]
        prompts = [tokens(1 + i * 7 % 60) for i in range(PROMPTS)]
        check(name, model, "checkpoint", texts, prompts, set(end if isinstance(end, list) else [] if end is None else [end]))
        if seed % 5 == 4:
            generate_too(model, "checkpoint", prompts[9])


RECIPE = """
name: "families" seed: 1 threads: 2
task: "countdown(numbers=2, high=9, target_high=30)"
model { path: "checkpoint" }
stage { kind: SFT steps: 3 batch_size: 8 learning_rate: 1e-2 }
evaluation { prompts: 2 }
"""


def trained_checkpoint_loads():
    """A model that was read, trained a little and saved keeps its family's keys: transformers has the same numbers for it."""
    make_checkpoint(config("Mistral", ROPES["yarn"], True, sliding_window=5, eos_token_id=[2, 9]), "checkpoint", 99)
    with open("recipe.textproto", "w", encoding="utf-8") as file:
        file.write(RECIPE)
    shutil.rmtree("run", ignore_errors=True)
    train("run", recipe="recipe.textproto")
    model = transformers.AutoModelForCausalLM.from_pretrained(newest("run"), dtype=torch.float32).eval()
    assert model.config.sliding_window == 5 and model.generation_config.eos_token_id == [2, 9], model.config
    before = transformers.AutoModelForCausalLM.from_pretrained("checkpoint")
    assert not torch.equal(before.model.embed_tokens.weight, model.model.embed_tokens.weight)
    random = torch.Generator().manual_seed(2)
    prompts = [torch.randint(0, VOCABULARY, (20,), generator=random).tolist() for _ in range(PROMPTS)]
    check("Mistral, trained", model, newest("run"), prompts, prompts, {2, 9})


def real_model(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "\n".join(open(os.path.join(SOURCE, name), encoding="utf-8").read() for name in ("README.md", "ARCHITECTURE.md", "LICENSE"))
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    texts = [ids[start:start + TEXT_TOKENS] for start in range(0, len(ids) - TEXT_TOKENS, TEXT_TOKENS)][:TEXTS * 2]
    prompts = [ids[i * 97 % (len(ids) - 64):][:8 + i % 48] for i in range(PROMPTS)]
    end = model.generation_config.eos_token_id
    check(folder, model, folder, texts, prompts, set(end if isinstance(end, list) else [] if end is None else [end]))


if sys.argv[1:]:
    for argument in sys.argv[1:]:
        real_model(argument)
else:
    random_checkpoints()
    trained_checkpoint_loads()
