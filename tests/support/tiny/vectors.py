"""Tiny models of vectors with the files of sentence-transformers."""

from pathlib import Path

from tests.support.tiny import tokens
from tests.support.tiny.text import encoder


def sentences(folder: Path) -> None:
    """A BERT with sentence-transformers' files: first token, dense layer, unit length, prompts."""
    import torch
    from safetensors.torch import save_file

    encoder(folder)
    modules = ("Transformer", "Pooling", "Dense", "Normalize")
    listed = [
        {
            "idx": n,
            "name": str(n),
            "path": f"{n}_{kind}" if n else "",
            "type": f"sentence_transformers.{kind}",
        }
        for n, kind in enumerate(modules)
    ]
    tokens.write(folder / "modules.json", listed)
    tokens.write(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    activation = "torch.nn.modules.linear.Identity"
    dense = {"in_features": 32, "out_features": 8, "bias": False, "activation_function": activation}
    tokens.write(folder / "2_Dense" / "config.json", dense)
    save_file({"linear.weight": torch.randn(8, 32)}, folder / "2_Dense" / "model.safetensors")
    tokens.write(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    prompts = {"query": "question ", "STS": "movie "}
    tokens.write(
        folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": "query"}
    )


def alien(folder: Path) -> None:
    """A BERT followed by a module that nobody knows."""
    encoder(folder)
    tokens.write(folder / "modules.json", [{"type": "someone.Else", "path": "x"}])
