"""Tiny models that make sound: speech, voices, music."""

import io
import json
from pathlib import Path
from typing import Any

import transformers as hf

from tests.support.tiny import words
from tests.support.tiny.audio import RATE


def vits(folder: Path, digits: str = "", **more: Any) -> None:
    """A VITS with one voice, or as many as ``num_speakers``, that knows some digits or none."""
    path = folder / "letters.json"
    letters = ["_", *"abcdefghijklmnopqrstuvwxyz '", *digits, "<unk>"]
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


def bark(folder: Path) -> None:
    """A Bark: of words, tokens of meaning; of these, coarse and then fine tokens of a codec."""
    size = {"block_size": 128, "num_layers": 1, "num_heads": 2, "hidden_size": 16, "dropout": 0.0}
    codec = hf.EncodecConfig(
        num_filters=4,
        hidden_size=16,
        codebook_dim=16,
        codebook_size=16,
        upsampling_ratios=[8, 5, 4, 2],
        num_residual_layers=1,
        sampling_rate=RATE,
        target_bandwidths=[1.6],
        normalize=False,
    )
    vocabulary = len(words.wordpiece())
    config = hf.BarkConfig(
        semantic_config={**size, "input_vocab_size": vocabulary + 50, "output_vocab_size": 50},
        coarse_acoustics_config={**size, "input_vocab_size": 80, "output_vocab_size": 80},
        fine_acoustics_config={
            **size,
            "input_vocab_size": 17,
            "output_vocab_size": 17,
            "n_codes_total": 8,
            "n_codes_given": 2,
        },
        codec_config=codec.to_dict(),
    )
    model = hf.BarkModel(config)
    for layer in model.codec_model.quantizer.layers:
        layer.codebook.embed.normal_()  # or all tokens would sound the same
    model.generation_config = hf.GenerationConfig(
        semantic_config={
            "eos_token_id": 40,
            "semantic_pad_token": 40,
            "semantic_vocab_size": 40,
            "text_encoding_offset": 45,
            "text_pad_token": vocabulary + 46,
            "semantic_infer_token": vocabulary + 47,
            "max_input_semantic_length": 32,
            "max_new_tokens": 12,
            "do_sample": True,
        },
        coarse_acoustics_config={
            "coarse_semantic_pad_token": 76,
            "coarse_infer_token": 77,
            "semantic_vocab_size": 40,
            "max_coarse_input_length": 32,
            "max_coarse_history": 24,
            "sliding_window_len": 12,
            "do_sample": True,
        },
        fine_acoustics_config={
            "max_fine_history_length": 32,
            "max_fine_input_length": 64,
            "n_fine_codebooks": 8,
        },
        sample_rate=RATE,
        codebook_size=16,
    )
    model.save_pretrained(folder)
    words.bert().save_pretrained(folder)


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
    for weights in model.decoder.parameters():
        weights.data *= 4.0  # or what it is told would hardly change what it makes
    settings.do_sample, settings.guidance_scale, settings.max_length = True, 3.0, 1500
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # or all tokens would sound the same
    settings._from_model_config = False
    model.save_pretrained(folder)
    words.bert().save_pretrained(folder)
    hf.EncodecFeatureExtractor(sampling_rate=RATE).save_pretrained(folder)
