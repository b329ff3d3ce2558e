"""The files of an answer, as HuggingGPT's web client finds them."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.request import Request
from model_catalog.tasks import TASKS
from tests.support.answers import ENGLISH, FRENCH, answer_to, done, failed, raw_task, stored

_CLIENT = {
    "image": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.(?:jpg|jpeg|tiff|gif|png)"),
    "audio": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.(?:flac|wav)"),
    "video": re.compile(r"(?:http(?:s?):|/)(?:[/|.\w\s-])*\.mp4"),
}
"""The patterns by which the web client of HuggingGPT finds files in an answer."""


_MADE = st.lists(
    st.tuples(
        st.sampled_from(
            ["text-to-image", "text-to-speech", "text-to-video", "canny-control", "object-detection"]
        ),
        st.integers(0, 3),
        st.sampled_from(["", "a/b", "see /x and", "two words. more", "http://x y"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(_MADE, st.sampled_from([ENGLISH, FRENCH]))
def test_the_web_client_finds_every_file_and_nothing_beside_it(
    made: list[tuple[str, int, str, bool]], request: Request
) -> None:
    raws, outcomes, paths = [], [], []
    for number, (task, files, text, fails) in enumerate(made):
        modality = TASKS[task].outputs[0]
        raws.append(
            raw_task(task, number, **{argument.name: f"{text} a" for argument in TASKS[task].arguments})
        )
        if fails:
            outcomes.append(failed(number, task, f"{text} broke"))
            continue
        artifacts = tuple(stored(modality, 10 * number + file) for file in range(files))
        paths += [artifact.path for artifact in artifacts]
        outcomes.append(done(number, task, text or None, artifacts=artifacts, model="owner/model.v1"))
    answer = answer_to(raws, *outcomes, request=request)
    found = [match for pattern in _CLIENT.values() for match in pattern.findall(answer)]
    assert sorted(found) == sorted(paths)
