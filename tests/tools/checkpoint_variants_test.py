#!/usr/bin/env python3
"""Checkpoints of the family in other shapes than the oracles', made from one of them: the production
path against `eval --reference`. Usage: checkpoint_variants_test.py BALTORO GOLDEN_DIR"""

import array
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BALTORO = sys.argv[1]
ORACLE = pathlib.Path(sys.argv[2]) / "oracle" / "k2-tiny"
N_TOKENS = 48


def read_safetensors(path):
    """Name -> (dtype, shape, bytes)."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors, n_padding):
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + n_padding)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


class CheckpointVariants(unittest.TestCase):
    first_token = 0   # of the oracle's tokens

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.config = json.loads((ORACLE / "config.json").read_text())
        self.tensors = {}
        for shard in sorted(ORACLE.glob("model-*.safetensors")):
            self.tensors.update(read_safetensors(shard))

    def evaluate(self, *options):
        tokens = self.directory / "tokens.json"
        ids = json.loads((ORACLE / "expected.json").read_text())["tokens"]
        tokens.write_text(json.dumps(ids[self.first_token:][:N_TOKENS]))
        out = self.directory / "out.safetensors"
        result = subprocess.run([BALTORO, "eval", "--model", str(self.directory), "--tokens", str(tokens), "--out", str(out), *options],
                                capture_output=True, timeout=200)
        self.assertEqual(result.returncode, 0, result.stderr)
        tensors = read_safetensors(out)
        logits = array.array("f", tensors["logits"][2])
        experts = array.array("i", tensors["routed_experts"][2])
        return logits, experts, result.stderr.decode()

    def agrees_with_the_reference(self, n_padding=0):
        """Writes the variant, compares median and experts with the issue's bounds; returns stderr."""
        (self.directory / "config.json").write_text(json.dumps(self.config))
        write_safetensors(self.directory / "model.safetensors", self.tensors, n_padding)
        expected, expected_experts, _ = self.evaluate("--reference")
        actual, actual_experts, log = self.evaluate()
        vocab = len(expected) // N_TOKENS
        errors = []
        for t in range(0, len(expected), vocab):
            difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(expected[t:t + vocab], actual[t:t + vocab])))
            errors.append(difference / math.sqrt(sum(a ** 2 for a in expected[t:t + vocab])))
        self.assertLessEqual(sorted(errors)[N_TOKENS // 2], 1e-2)
        top_k = self.config.get("text_config", self.config)["num_experts_per_tok"]
        pairs = range(0, len(expected_experts), top_k)
        equal = sum(expected_experts[p:p + top_k] == actual_experts[p:p + top_k] for p in pairs)
        self.assertGreaterEqual(equal, 0.96 * len(pairs))
        return log

    def test_one_file_with_data_at_odd_addresses(self):
        self.agrees_with_the_reference(n_padding=3)

    def test_a_language_model_inside_a_multimodal_checkpoint(self):
        self.tensors = {"language_model." + name: tensor for name, tensor in self.tensors.items()}
        self.tensors["vision_tower.patch_embed.weight"] = ("BF16", [2, 2], bytes(8))
        self.tensors["mm_projector.bias"] = ("F32", [1], bytes(4))
        self.config = {"architectures": ["KimiK25ForConditionalGeneration"], "model_type": "kimi_k25", "text_config": self.config}
        self.assertIn("2 tensors are not used: vision tower", self.agrees_with_the_reference())

    def test_token_prediction_layers_and_stored_frequencies_are_left_out(self):
        self.tensors["model.layers.3.enorm.weight"] = ("BF16", [2], bytes(4))
        self.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", [16], bytes(64))
        log = self.agrees_with_the_reference()
        self.assertIn("past num_hidden_layers", log)
        self.assertIn("rotary frequencies", log)

    def test_deepseek_v3_with_groups(self):
        self.config |= {"model_type": "deepseek_v3", "n_group": 4, "topk_group": 2}
        # The oracle's token 5 has two groups so nearly tied that rounding flips them on every level,
        # and all later tokens attend to it.
        self.first_token = 60
        self.agrees_with_the_reference()

    def test_tied_embeddings_and_gains_that_are_not_normalised(self):
        self.config |= {"tie_word_embeddings": True, "norm_topk_prob": False}
        del self.tensors["lm_head.weight"]
        self.agrees_with_the_reference()

    def test_a_later_first_moe_layer_is_missing_what_it_needs(self):
        self.config["first_k_dense_replace"] = 2
        (self.directory / "config.json").write_text(json.dumps(self.config))
        write_safetensors(self.directory / "model.safetensors", self.tensors, 0)
        result = subprocess.run([BALTORO, "inspect", "--model", str(self.directory)], capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"model.layers.1.mlp.gate_proj.weight", result.stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
