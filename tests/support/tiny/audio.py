"""Tiny models of sound: speech recognition, classes of sounds, speech, voices, music."""

import io
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
    special = ("<|startoftranscript|>", *LANGUAGES, "<|translate|>", "<|transcribe|>", "<|startoflm|>")
    special += ("<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
    tokenizer.add_special_tokens({"extra_special_tokens": list(special)})
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


# Words into speech -------------------------------------------------------------------------------------


def vits(folder: Path, **more: Any) -> None:
    """A VITS with one voice, or as many as ``num_speakers``."""
    path = folder / "letters.json"
    letters = ["_", *"abcdefghijklmnopqrstuvwxyz '", "<unk>"]
    path.write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    settings = {"language": "eng", "phonemize": False, "is_uroman": False, **more.pop("tokenizer", {})}
    tokenizer = hf.VitsTokenizer(str(path), pad_token="_", unk_token="<unk>", **settings)
    config = hf.VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        prior_encoder_num_flows=1,
        posterior_encoder_num_wavenet_layers=1,
        prior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=1,
        duration_predictor_filter_channels=16,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        depth_separable_num_layers=1,
        wavenet_dilation_rate=1,
        sampling_rate=RATE,
        **more,
    )
    hf.VitsModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def vits_voices(folder: Path) -> None:
    """A VITS with three voices."""
    vits(folder, num_speakers=3, speaker_embedding_size=8)


def vits_uroman(folder: Path) -> None:
    """A VITS of a language that is written in Latin letters before it is read."""
    vits(folder, tokenizer={"is_uroman": True})


def vits_phonemes(folder: Path) -> None:
    """A VITS that reads phonemes."""
    vits(folder, tokenizer={"phonemize": True})


def _speecht5(cls: Any) -> Any:
    config = hf.SpeechT5Config(
        vocab_size=40,
        hidden_size=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        speaker_embedding_dim=16,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16,
        speech_decoder_postnet_layers=2,
        num_mel_bins=20,
        max_text_positions=64,
        conv_dim=(32, 32),
        conv_stride=(16, 20),
        conv_kernel=(16, 20),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    model = cls(config)
    # It never thinks that it is done, and so speaks as long as it may.
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-5.0)
    return model


def _speecht5_processor(folder: Path) -> Any:
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words.WORDS)] * 5),
        model_writer=made,
        vocab_size=40,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = folder / "spm_char.model"
    path.write_bytes(made.getvalue())
    return hf.SpeechT5Processor(hf.SpeechT5FeatureExtractor(num_mel_bins=20), hf.SpeechT5Tokenizer(str(path)))


def speecht5(folder: Path) -> None:
    """A SpeechT5 that reads aloud, without its vocoder."""
    _speecht5(hf.SpeechT5ForTextToSpeech).save_pretrained(folder)
    _speecht5_processor(folder).save_pretrained(folder)


def speecht5_voices(folder: Path) -> None:
    """A SpeechT5 that says a recording in another voice, without its vocoder."""
    _speecht5(hf.SpeechT5ForSpeechToSpeech).save_pretrained(folder)
    _speecht5_processor(folder).save_pretrained(folder)


def vocoder(folder: Path) -> None:
    """What makes sound of SpeechT5's spectrograms: 16 samples of each frame."""
    config = hf.SpeechT5HifiGanConfig(
        model_in_dim=20,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
    )
    model = hf.SpeechT5HifiGan(config)
    for weights in model.parameters():
        weights.data *= 12.0  # or it would hardly be heard
    model.save_pretrained(folder)


# Recordings into recordings, words into music ---------------------------------------------------------


def seamless(folder: Path) -> None:
    """A SeamlessM4T v2 that says a recording in English or French."""
    config = hf.SeamlessM4Tv2Config(
        **_seamless_sizes(),
        vocab_size=40,
        t2u_vocab_size=40,
        unit_hifi_gan_vocab_size=36,
        char_vocab_size=40,
        vocoder_num_langs=2,
        vocoder_num_spkrs=2,
        upsample_initial_channel=32,
        upsample_rates=[5, 4],
        upsample_kernel_sizes=[11, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        t2u_variance_pred_dropout=0.0,
    )
    model = hf.SeamlessM4Tv2ForSpeechToSpeech(config)
    settings = model.generation_config
    letters = {str(index): words.LETTERS[index] for index in range(4, 38)}
    settings.id_to_text = letters
    settings.char_to_id = {letter: int(index) for index, letter in letters.items()}
    settings.text_decoder_lang_to_code_id = {"eng": 38, "fra": 39}
    settings.t2u_lang_code_to_id = {"eng": 38, "fra": 39}
    settings.vocoder_lang_code_to_id = {"eng": 0, "fra": 1}
    settings.max_new_tokens = 12
    settings._from_model_config = False
    model.save_pretrained(folder)
    hf.SeamlessM4TFeatureExtractor().save_pretrained(folder)


def _seamless_sizes() -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "lang_embed_dim": 8,
        "spkr_embed_dim": 8,
        "unit_embed_dim": 16,
    }
    for part in ("encoder", "decoder", "speech_encoder", "t2u_encoder", "t2u_decoder"):
        sizes |= {f"{part}_layers": 1, f"{part}_attention_heads": 4}
        sizes["speech_encoder_intermediate_size" if part == "speech_encoder" else f"{part}_ffn_dim"] = 37
    sizes |= {"t2u_variance_predictor_embed_dim": 32, "t2u_variance_predictor_hidden_dim": 16}
    return sizes | {"max_position_embeddings": 256, "t2u_max_position_embeddings": 512}


def musicgen(folder: Path) -> None:
    """A MusicGen of two codebooks, 50 frames of 320 samples a second."""
    text = hf.T5Config(
        vocab_size=len(words.wordpiece()), d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4
    )
    codec = hf.EncodecConfig(
        num_filters=4,
        hidden_size=16,
        codebook_dim=16,
        codebook_size=32,
        upsampling_ratios=[8, 5, 4, 2],
        num_residual_layers=1,
        sampling_rate=RATE,
        target_bandwidths=[0.5],
        normalize=False,
    )
    decoder = hf.MusicgenDecoderConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        ffn_dim=37,
        num_codebooks=2,
        max_position_embeddings=128,
        pad_token_id=32,
        bos_token_id=32,
    )
    model = hf.MusicgenForConditionalGeneration(
        hf.MusicgenConfig(
            text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict()
        )
    )
    settings = model.generation_config
    settings.decoder_start_token_id = settings.pad_token_id = settings.bos_token_id = 32
    settings.do_sample, settings.guidance_scale, settings.max_length = True, 3.0, 1500
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # or all tokens would sound the same
    settings._from_model_config = False
    model.save_pretrained(folder)
    words.bert().save_pretrained(folder)
    hf.EncodecFeatureExtractor(sampling_rate=RATE).save_pretrained(folder)
