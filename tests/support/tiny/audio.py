"""Tiny models that hear: speech recognition, classes of sounds."""

import json
import shutil
from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import words

RATE = 16_000
WINDOW = 2  # seconds that the Whispers here hear at once; others do half a minute
LABELS: dict[str, Any] = {
    "id2label": {0: "cat", 1: "dog", 2: "car"},
    "label2id": {"cat": 0, "dog": 1, "car": 2},
}
WAV2VEC2: dict[str, Any] = {
    **words.SIZE,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 8, 8),
    "conv_kernel": (10, 8, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
LAYERED: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
LANGUAGES = ("<|en|>", "<|fr|>")


# Recordings into words ---------------------------------------------------------------------------------


def _whisper_tokenizer() -> Any:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = {token: index for index, token in enumerate(bytes_to_unicode().values())}
    tokenizer = hf.WhisperTokenizer(
        vocab={**vocabulary, "<|endoftext|>": len(vocabulary)}, merges=[], language=None
    )
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special = ["<|startoftranscript|>", *LANGUAGES, *tasks, "<|notimestamps|>"]
    tokenizer.add_special_tokens({"extra_special_tokens": special})
    tokenizer.add_tokens([f"<|{index * 0.02:.2f}|>" for index in range(50 * WINDOW + 1)])
    return tokenizer


def _whisper(folder: Path, multilingual: bool, bare: bool = False) -> None:
    tokenizer = _whisper_tokenizer()
    of = tokenizer.convert_tokens_to_ids
    end = of("<|endoftext|>")
    config = hf.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_source_positions=50 * WINDOW,
        max_target_positions=24,
        decoder_start_token_id=of("<|startoftranscript|>"),
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = hf.WhisperForConditionalGeneration(config)
    settings = model.generation_config
    settings.max_length = 16
    # Otherwise it is made anew from the model's configuration when loaded, without what is set here.
    settings._from_model_config = False
    if not bare:
        settings.is_multilingual = multilingual
        settings.no_timestamps_token_id = of("<|notimestamps|>")
        settings.max_initial_timestamp_index = 50
    if multilingual and not bare:
        settings.lang_to_id = {name: of(name) for name in LANGUAGES}
        settings.task_to_id = {name: of(f"<|{name}|>") for name in ("transcribe", "translate")}
    model.save_pretrained(folder)
    hf.WhisperProcessor(hf.WhisperFeatureExtractor(chunk_length=WINDOW), tokenizer).save_pretrained(folder)


def whisper(folder: Path) -> None:
    """A Whisper of two languages."""
    _whisper(folder, multilingual=True)


def whisper_english(folder: Path) -> None:
    """A Whisper that knows English only."""
    _whisper(folder, multilingual=False)


def whisper_bare(folder: Path) -> None:
    """A Whisper whose generation config lacks what newer ones say, as of an old fine-tuning."""
    _whisper(folder, multilingual=False, bare=True)


def _letters(folder: Path) -> Any:
    path = folder / "letters.json"
    path.write_text(json.dumps({letter: index for index, letter in enumerate(LETTERS)}))
    return hf.Wav2Vec2CTCTokenizer(str(path))


def _ears(masked: bool) -> Any:
    return hf.Wav2Vec2FeatureExtractor(sampling_rate=RATE, return_attention_mask=masked)


def ctc(folder: Path) -> None:
    """A wav2vec2 that writes letters, normalized over time as wav2vec2-base is."""
    hf.Wav2Vec2ForCTC(hf.Wav2Vec2Config(vocab_size=len(LETTERS), **WAV2VEC2)).save_pretrained(folder)
    hf.Wav2Vec2Processor(_ears(masked=False), _letters(folder)).save_pretrained(folder)


def ctc_layered(folder: Path) -> None:
    """A wav2vec2 that writes letters, with masks as wav2vec2-large has."""
    config = hf.Wav2Vec2Config(vocab_size=len(LETTERS), **WAV2VEC2, **LAYERED)
    hf.Wav2Vec2ForCTC(config).save_pretrained(folder)
    hf.Wav2Vec2Processor(_ears(masked=True), _letters(folder)).save_pretrained(folder)


def _parakeet_tokenizer(*more: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = ["<unk>", "▁", *words.LETTERS, *(f"▁{letter}" for letter in words.LETTERS)]
    made = Tokenizer(models.BPE({t: i for i, t in enumerate([*tokens, *more])}, [], unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return hf.ParakeetTokenizer(tokenizer_object=made, unk_token="<unk>", pad_token=more[0])


def _parakeet_encoder() -> Any:
    return hf.ParakeetEncoderConfig(
        **words.SIZE, num_mel_bins=80, subsampling_conv_channels=8, scale_input=False
    )


def parakeet(folder: Path) -> None:
    """A Parakeet that writes pieces of words at every frame."""
    tokenizer = _parakeet_tokenizer("<pad>")
    config = hf.ParakeetCTCConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        encoder_config=_parakeet_encoder().to_dict(),
    )
    hf.ParakeetForCTC(config).save_pretrained(folder)
    hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokenizer).save_pretrained(folder)


def parakeet_tdt(folder: Path) -> None:
    """A Parakeet that writes a piece of a word and how many frames it lasts."""
    tokenizer = _parakeet_tokenizer("<pad>", "<blank>")
    config = hf.ParakeetTDTConfig(
        vocab_size=len(tokenizer),
        decoder_hidden_size=16,
        num_decoder_layers=1,
        pad_token_id=tokenizer.pad_token_id,
        blank_token_id=len(tokenizer) - 1,
        encoder_config=_parakeet_encoder().to_dict(),
    )
    model = hf.ParakeetForTDT(config)
    # Every step moves on, as a trained model's do, or it would say all it may at the first frame.
    model.joint.head.bias.data[config.vocab_size] = -10.0
    model.joint.head.weight.data *= 20.0
    model.generation_config.decoder_start_token_id = config.blank_token_id
    model.generation_config._from_model_config = False
    model.save_pretrained(folder)
    processor = hf.ParakeetProcessor(hf.ParakeetFeatureExtractor(), tokenizer, blank_token="<blank>")
    processor.save_pretrained(folder)


def moonshine(folder: Path) -> None:
    """A Moonshine, which writes a short recording down in one go."""
    config = hf.MoonshineConfig(
        vocab_size=len(words.wordpiece()),
        hidden_size=32,
        intermediate_size=37,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=4,
        decoder_num_attention_heads=4,
        max_position_embeddings=64,
        bos_token_id=90,  # a word, which it goes on saying
        eos_token_id=3,
        decoder_start_token_id=90,
        pad_token_id=0,
    )
    hf.MoonshineForConditionalGeneration(config).save_pretrained(folder)
    words.bert().save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)


def renamed(source: Path, folder: Path, *dropped: str) -> None:
    """A copy of a model whose normalized weights have the names of old checkpoints; without ``dropped``."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / "model.safetensors"
    weights = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): weight
        for name, weight in load_file(path).items()
        if name not in dropped
    }
    save_file(weights, path, {"format": "pt"})


# Recordings under labels -------------------------------------------------------------------------------


def classifier(folder: Path) -> None:
    """A wav2vec2 that sorts sounds."""
    config = hf.Wav2Vec2Config(vocab_size=32, classifier_proj_size=16, **WAV2VEC2, **LABELS)
    hf.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    _ears(masked=False).save_pretrained(folder)


def classifier_layered(folder: Path) -> None:
    """A wav2vec2 that sorts sounds, with masks as wav2vec2-large has."""
    config = hf.Wav2Vec2Config(vocab_size=32, classifier_proj_size=16, **WAV2VEC2, **LAYERED, **LABELS)
    hf.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    _ears(masked=True).save_pretrained(folder)


def headless(folder: Path) -> None:
    """A wav2vec2 without a head."""
    hf.Wav2Vec2Model(hf.Wav2Vec2Config(vocab_size=32, **WAV2VEC2)).save_pretrained(folder)
    _ears(masked=False).save_pretrained(folder)


def spectrograms(folder: Path) -> None:
    """An audio spectrogram transformer that sorts sounds, several of which may be there at once."""
    config = hf.ASTConfig(
        max_length=128, num_mel_bins=32, problem_type="multi_label_classification", **words.SIZE, **LABELS
    )
    hf.ASTForAudioClassification(config).save_pretrained(folder)
    hf.ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)
