"""Music from descriptions: MusicGen (arXiv 2306.05284)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from deployments.errors import ExpertError
from deployments.result import Input, Result
from deployments.runners.neural import NeuralRunner
from deployments.runners.single import text_of
from deployments.runners.sound import groups, sounding
from deployments.runners.speech import seed_of

_SECONDS = 10.0
_LONGEST = 30.0  # seconds; the models were made for no more
_GUIDANCE = 3.0
_BEST = 250  # tokens that one is drawn from, as the model's makers do
_WORDS = 256  # tokens of a description that are read


class _Ask(NamedTuple):
    text: str
    frames: int
    guidance: float
    seed: int


class Musician(NeuralRunner):
    """Makes music with MusicGen: as long as asked for, from each input's own seed."""

    warm_args: ClassVar[Mapping[str, str]] = {"seconds": "0.5"}

    def open(self) -> None:
        """See ``NeuralRunner``."""
        import transformers

        config = self.load_processor(transformers.AutoConfig)
        auto = transformers.AutoModelForTextToWaveform
        if config.model_type != "musicgen" and type(config) in auto._model_mapping:
            raise ExpertError(
                f"This release cannot make music with a {config.model_type} model; use a MusicGen model, and "
                "for one that speaks give its card the task text-to-speech."
            )
        self._model = self.load_model(auto)
        self._tokenizer = self.load_processor(transformers.AutoTokenizer)
        # Half precision can be heard in what the codec makes.
        self._codec = self._model.audio_encoder.float()
        self._rate = int(self._codec.config.sampling_rate)
        self._frame_rate = int(self._codec.config.frame_rate)

    def key(self, item: Input) -> Hashable:
        """Music of one length, with or without guidance."""
        return item.text("seconds"), item.text("guidance")

    def ready(self, item: Input) -> _Ask:
        """The description, the frames to make, the guidance and the seed."""
        seconds = self.knob(item, "seconds", _SECONDS, 0.1, _LONGEST)
        return _Ask(
            text_of(item),
            max(1, round(seconds * self._frame_rate)),
            self.knob(item, "guidance", _GUIDANCE, 1.0, 20.0),
            seed_of(self, item),
        )

    def infer(self, items: Sequence[_Ask]) -> list[Result]:
        """The music, float32 at the codec's rate, in one channel or two; the seed as data."""
        made: list[Any] = [None] * len(items)
        kinds = [(ask.frames, ask.guidance > 1.0) for ask in items]
        for group in groups(kinds, False, self.card.batch_size):
            for index, wave in zip(group, self._music([items[index] for index in group]), strict=True):
                made[index] = wave
        return [
            Result(audio=sounding(wave, self._rate), data={"seed": ask.seed})
            for wave, ask in zip(made, items, strict=True)
        ]

    def _music(self, asks: Sequence[_Ask]) -> list[Any]:
        """Waves of one length: (samples,) or (samples, 2)."""
        import torch

        inputs = self._tokenizer(
            [ask.text for ask in asks],
            padding=True,
            truncation=True,
            max_length=_WORDS,
            return_tensors="pt",
        ).to(self.device)
        mask = inputs.attention_mask
        hidden = self._model.text_encoder(input_ids=inputs.input_ids, attention_mask=mask).last_hidden_state
        guided = asks[0].guidance > 1.0
        if guided:  # what is made with a description is led away from what is made with none
            hidden = torch.cat([hidden, torch.zeros_like(hidden)])
            mask = torch.cat([mask, torch.zeros_like(mask)])
        books = self._model.decoder.num_codebooks
        draw = _Draw(asks, books, guided, self.device)
        waves = self._model.generate(
            encoder_outputs=(hidden,),
            attention_mask=mask,
            logits_processor=[draw],
            guidance_scale=1.0,  # ``draw`` does it
            do_sample=False,
            max_new_tokens=asks[0].frames + books - 1,  # each codebook begins a frame after the one before
        )
        length = round(asks[0].frames * self._rate / self._frame_rate)
        return [wave[:, :length].T.squeeze(1) for wave in waves[: len(asks)]]


class _Draw:
    """Draws each item's next tokens with its own random numbers (Gumbel-max), after guidance.

    ``generate`` has one source of random numbers for a batch; with it, music would depend on its neighbours.
    """

    def __init__(self, asks: Sequence[_Ask], books: int, guided: bool, device: str) -> None:
        import torch

        self._books, self._guided = books, guided
        self._sources = [torch.Generator().manual_seed(ask.seed) for ask in asks]
        scales = torch.tensor([ask.guidance for ask in asks], dtype=torch.float32, device=device)
        self._scales = scales.repeat_interleave(books)[:, None]

    def __call__(self, _: Any, scores: Any) -> Any:
        """Scores whose highest is the token that was drawn, rows (items, then those unguided) × tokens."""
        import torch

        scores = scores.float()
        if self._guided:
            led, free = scores.chunk(2)
            scores = free + (led - free) * self._scales
        best = min(_BEST, scores.shape[-1])
        worst = scores.topk(best).values[:, -1:]
        scores = scores.masked_fill(scores < worst, -torch.inf)
        shape = (self._books, scores.shape[-1])
        noise = torch.cat([torch.empty(shape).exponential_(generator=source) for source in self._sources])
        drawn = scores - noise.log().to(scores.device)
        return torch.cat([drawn, drawn]) if self._guided else drawn
